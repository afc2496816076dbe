import { Elysia } from 'elysia'
import type { Auth } from '../auth/auth.ts'
import { isChannel, isUserId } from '../auth/channels.ts'
import { mediaTypeOf, parseJson, readText, unsupportedMediaType } from '../http/body.ts'
import { KairanError } from '../lib/errors.ts'
import { isObject } from '../lib/json.ts'
import { isUuid } from '../lib/uuid.ts'
import { type Publish, readJsonRequest } from '../publish/request.ts'
import {
  type AdminStore,
  readDeliveryFilter,
  readOnlinePage,
  readQuestion,
  readStreamFilter,
} from './admin.ts'
import { explain } from './explain.ts'

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

  const look = async (request: Request) => {
    await admit(request)
    return new URL(request.url).searchParams
  }

  /** The body of a request that changes something. Throws `read_only`, besides. */
  const change = async (request: Request) => {
    await admit(request)
    if (options.isReadOnly) {
      throw new KairanError('read_only', 'The dashboard only looks here: DASHBOARD is readonly.')
    }
    const text = await readText(request, maxBytes)
    if (mediaTypeOf(request) !== 'application/json') throw unsupportedMediaType('application/json')
    const body = parseJson(text)
    if (isObject(body)) return { text, body, query: queryOf(body) }
    throw new KairanError('bad_request', 'The body has to be a JSON object.')
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
      return answer(await store.online(after, limit))
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
      return answer({ version, bun: Bun.version, settings, ...(await store.system()) })
    })
    .post(
      '/disconnect',
      async ({ request }) => {
        const { body } = await change(request)
        if (!isUserId(body.userId)) throw new KairanError('bad_request', 'userId is no user id.')
        await store.disconnect(body.userId)
        return answer({ disconnected: body.userId })
      },
      raw,
    )
    .post(
      '/publish',
      async ({ request }) => {
        const { body, text } = await change(request)
        const { items, body: source } = readJsonRequest(body, text, null)
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
        const { body, query } = await change(request)
        if (body.notification === undefined) {
          return answer(await store.redeliverSome(readDeliveryFilter(query)))
        }
        const channel = body.channel ?? null
        if (!isUuid(body.notification) || (channel !== null && !isChannel(channel))) {
          throw new KairanError(
            'bad_request',
            'Send {"notification": id} and, if you like, a channel.',
          )
        }
        return answer({ changed: await store.redeliver(body.notification, channel), next: null })
      },
      raw,
    )
    .post(
      '/prune',
      async ({ request }) => {
        await change(request)
        return answer(await store.prune(options.retentionMs))
      },
      raw,
    )
}

const raw = { parse: 'none' } as const

/** Room for a payload of MAX_EVENT_BYTES and more. */
const maxBytes = 1024 * 1024

const answer = (body: object) => Response.json(body, { headers: { 'cache-control': 'no-store' } })

/** The texts and numbers of a body, as a query would have them. */
const queryOf = (body: Record<string, unknown>) =>
  new URLSearchParams(
    Object.entries(body).flatMap(([name, value]) =>
      typeof value === 'string' || typeof value === 'number' ? [[name, `${value}`]] : [],
    ),
  )
