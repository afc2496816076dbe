import { Elysia } from 'elysia'
import type { Auth } from '../auth/auth.ts'
import { answer } from '../http/answer.ts'
import { readObject, requireMembers } from '../http/body.ts'
import { KairanError } from '../lib/errors.ts'
import { isUuid } from '../lib/uuid.ts'
import { type Publish, readJsonRequest } from '../publish/request.ts'
import type { AdminStore, Instance, InstanceProblem } from './admin.ts'
import { explain } from './explain.ts'
import {
  readDeliveryFilter,
  readDisconnect,
  readOnlinePage,
  readQuestion,
  readRedelivery,
  readStreamFilter,
} from './request.ts'

/**
 * What the dashboard asks, for users of the admin role level: `GET /admin/…` looks, `POST /admin/…` changes
 * something, unless it is read-only.
 */
export const adminRoutes = (options: {
  auth: Auth
  store: AdminStore
  publish: Publish
  /** The channels that a user may read now. */
  channelsOf(userId: string): Promise<string[]>
  isReadOnly: boolean
  retentionMs: number
  /** What is said of the settings, without secrets. */
  settings: Record<string, string>
  version: string
  requireStarted(): void
}) => {
  const { auth, store } = options

  /** Lets in admins, and who they are. Throws as `identify` does, or `admin_only`. */
  const admit = async (request: Request) => {
    options.requireStarted()
    const { userId } = await auth.identify(request)
    if ((await options.channelsOf(userId)).includes('admin-dashboard')) return userId
    throw new KairanError('admin_only', 'This is for users of the admin role level.')
  }

  /** Lets an admin read: returns the request for a parser of its query. */
  const look = async (request: Request) => {
    await admit(request)
    return request
  }

  /** The body of a request that changes something. Throws `read_only`, besides. */
  const change = async (request: Request) => {
    await admit(request)
    if (options.isReadOnly) {
      throw new KairanError('read_only', 'The dashboard only looks here: DASHBOARD is readonly.')
    }
    return readObject(request, maxBytes)
  }

  return new Elysia({ name: 'admin', prefix: '/admin' })
    .get('/me', async ({ request }) =>
      answer({ userId: await admit(request), isReadOnly: options.isReadOnly }),
    )
    .get('/overview', async ({ request }) => {
      await admit(request)
      return answer(await store.overview())
    })
    .get('/streams', async ({ request }) =>
      answer(await store.streams(readStreamFilter(await look(request)))),
    )
    .get('/presence', async ({ request }) => {
      const { after, limit } = readOnlinePage(await look(request))
      return answer(await store.online(after ?? '', limit))
    })
    .get('/deliveries', async ({ request }) =>
      answer(await store.deliveries(readDeliveryFilter(await look(request)))),
    )
    .get('/notifications/:id', async ({ request, params: { id } }) => {
      await admit(request)
      const found = isUuid(id) ? await store.notification(id) : null
      if (found) return answer(found)
      throw new KairanError('not_found', 'There is no such notification, or not any more.')
    })
    .get('/explain', async ({ request }) => {
      const { notification, user } = readQuestion(await look(request))
      const [facts, readable] = await Promise.all([
        store.explain(notification, user),
        options.channelsOf(user),
      ])
      return answer(explain(facts, user, readable))
    })
    .get('/system', async ({ request }) => {
      await admit(request)
      const { version, settings } = options
      const [system, { instances }] = await Promise.all([store.system(), store.overview()])
      return answer({
        version,
        bun: Bun.version,
        settings,
        ...system,
        problems: problemsOf(instances),
      })
    })
    .post(
      '/disconnect',
      async ({ request }) => {
        const { object } = await change(request)
        const { userId } = readDisconnect(object)
        await store.disconnect(userId)
        return answer({ disconnected: userId })
      },
      raw,
    )
    .post(
      '/publish',
      async ({ request }) => {
        const { object, text } = await change(request)
        const { items, body: source } = readJsonRequest(object, text, null)
        const [item] = items
        if (!item || items.length > 1)
          throw new KairanError('bad_request', 'Send one notification.')
        if (item instanceof KairanError) throw item
        const [result] = await options.publish([item], source)
        if (!result || result instanceof KairanError) throw result
        return answer({ id: result.id })
      },
      raw,
    )
    .post(
      '/redeliver',
      async ({ request }) => {
        const { object } = await change(request)
        const asked = readRedelivery(object)
        if (asked.notification === null) return answer(await store.redeliverSome(asked.filter))
        const changed = await store.redeliver(asked.notification, asked.channel)
        return answer({ changed, next: null })
      },
      raw,
    )
    .post(
      '/prune',
      async ({ request }) => {
        const { object } = await change(request)
        requireMembers(object, [])
        return answer(await store.prune(options.retentionMs))
      },
      raw,
    )
}

/** Why instances are not ready, with the details that /readyz leaves out. */
const problemsOf = (instances: Instance[]): InstanceProblem[] =>
  instances.flatMap(({ id, facts: { problem } }) => (problem ? [{ instanceId: id, problem }] : []))

const raw = { parse: 'none' } as const

/** Room for a payload of MAX_EVENT_BYTES and more. */
const maxBytes = 1024 * 1024
