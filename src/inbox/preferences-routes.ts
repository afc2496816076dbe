import { Elysia } from 'elysia'
import type { CallerPlugin } from '../auth/caller-routes.ts'
import { answer, uncached } from '../http/answer.ts'
import { readObject } from '../http/body.ts'
import { userHeader } from '../http/user-header.ts'
import { createRate } from '../lib/rate-limit.ts'
import type { Turns } from '../lib/turns.ts'
import type { PreferencesStore } from './preferences.ts'
import { readPreferences } from './request.ts'
import { inboxOperations } from './schema.ts'

/** `GET` and `PUT /notifications/preferences`: what the caller has muted. */
export const preferencesRoutes = (options: {
  caller: CallerPlugin
  store: PreferencesStore
  /** Lets one request of a user read or write at a time. */
  turns: Turns
}) => {
  const { store, turns } = options
  const rate = createRate({ perSecond: 5, burst: 50, what: 'changes of the preferences' })
  const headersOf = (userId: string) => ({ ...uncached, ...userHeader(userId) })
  return new Elysia({ name: 'preferences' })
    .use(options.caller)
    .get(
      '/notifications/preferences',
      async ({ caller: { userId } }) =>
        answer(await turns.run(userId, () => store.read(userId)), { headers: headersOf(userId) }),
      { caller: { rate }, detail: inboxOperations['GET /notifications/preferences'].detail },
    )
    .put(
      '/notifications/preferences',
      async ({ caller: { userId }, request }) => {
        const { object } = await readObject(request, maxBytes)
        const preferences = readPreferences(object)
        const now = await turns.run(userId, async () => {
          await store.write(userId, preferences)
          return store.read(userId)
        })
        return answer(now, { headers: headersOf(userId) })
      },
      {
        caller: { rate },
        parse: 'none',
        detail: inboxOperations['PUT /notifications/preferences'].detail,
      },
    )
}

/** Largest body: 200 mutes of long names, and some more. */
const maxBytes = 256 * 1024
