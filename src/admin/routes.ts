import { Elysia } from 'elysia'
import type { CallerPlugin } from '../auth/caller-routes.ts'
import { admins } from '../auth/channels.ts'
import { type Readable, type Reading, rightsOrUnavailable } from '../auth/standing.ts'
import { answer } from '../http/answer.ts'
import { readObject, requireMembers } from '../http/body.ts'
import { KairanError } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { isUuid } from '../lib/uuid.ts'
import { type Publish, readJsonRequest } from '../publish/request.ts'
import type { AdminStore, Instance, InstanceProblem } from './admin.ts'
import { explain } from './explain.ts'
import { type FollowUpStore, sayFollowUp } from './follow-ups.ts'
import type { History } from './history.ts'
import {
  readAuditPage,
  readDeliveryFilter,
  readDisconnect,
  readFollowUpFilter,
  readFollowUpId,
  readOnlinePage,
  readQuestion,
  readRedelivery,
  readScheduledFilter,
  readStreamFilter,
  readWithdrawal,
} from './request.ts'
import type { ScheduledStore } from './scheduled.ts'
import { adminOperations } from './schema.ts'

/**
 * The API of the dashboard, for users of the admin role level. `GET /admin/…` reads; `POST /admin/…` changes
 * something, unless the dashboard is read-only.
 */
export const adminRoutes = (options: {
  caller: CallerPlugin
  store: AdminStore
  followUps: FollowUpStore
  scheduled: ScheduledStore
  publish: Publish
  history: Pick<History, 'all'>
  /** What a user may read now; `asked` are names that have to be looked up in any case. */
  readableOf(reading: Reading, asked?: readonly string[]): Promise<Readable>
  isReadOnly: boolean
  report: Pick<Report, 'info'>
  retentionMs: number
  /** The settings without secrets. */
  settings: Record<string, string>
  version: string
}) => {
  const { store } = options

  /** Reads the body of a request that changes something. Throws `read_only` too. */
  const readChange = (request: Request) => {
    if (options.isReadOnly) {
      throw new KairanError('read_only', 'Nothing can be changed here: DASHBOARD is readonly.')
    }
    return readObject(request, maxBytes)
  }

  /** The audit trail is in the database; this is for whoever reads the log. */
  const note = (actor: string, action: string, facts: object) =>
    options.report.info({ actor, action, ...facts }, 'An operator changed something.')

  return new Elysia({ name: 'admin', prefix: '/admin' })
    .use(options.caller)
    .guard({ caller: { rate: null } })
    .onBeforeHandle(async ({ caller: { userId } }) => {
      if ((await rightsOrUnavailable(options.readableOf(byName(userId)))).includes(admins)) return
      throw new KairanError('admin_only', 'Only users of the admin role level may do this.')
    })
    .get(
      '/me',
      ({ caller: { userId } }) => answer({ userId, isReadOnly: options.isReadOnly }),
      describe('/admin/me'),
    )
    .get('/overview', async () => answer(await store.overview()), describe('/admin/overview'))
    .get('/history', () => answer({ moments: options.history.all() }), describe('/admin/history'))
    .get(
      '/streams',
      async ({ request }) => answer(await store.streams(readStreamFilter(request))),
      describe('/admin/streams'),
    )
    .get(
      '/presence',
      async ({ request }) => {
        const { after, channel, limit } = readOnlinePage(request)
        return answer(await store.online(channel, after ?? '', limit))
      },
      describe('/admin/presence'),
    )
    .get(
      '/deliveries',
      async ({ request }) => answer(await store.deliveries(readDeliveryFilter(request))),
      describe('/admin/deliveries'),
    )
    .get(
      '/deliveries/count',
      async ({ request }) => answer(await store.count(readDeliveryFilter(request))),
      describe('/admin/deliveries/count'),
    )
    .get(
      '/notifications/:id',
      async ({ params: { id } }) => {
        const found = isUuid(id) ? await store.notification(id) : null
        if (found) return answer(found)
        throw new KairanError('not_found', 'This notification does not exist, or was removed.')
      },
      describe('/admin/notifications/:id'),
    )
    .get(
      '/explain',
      async ({ request }) => {
        const { notification, user } = readQuestion(request)
        const facts = await store.explain(notification, user)
        const addressed = facts.deliveries.map(({ channel }) => channel)
        const readable = await rightsOrUnavailable(options.readableOf(byName(user), addressed))
        const followUp = sayFollowUp(await options.followUps.about(notification, user))
        return answer({ ...explain(facts, user, readable), followUp })
      },
      describe('/admin/explain'),
    )
    .get(
      '/follow-ups',
      async ({ request }) => answer(await options.followUps.list(readFollowUpFilter(request))),
      describe('/admin/follow-ups'),
    )
    .get(
      '/scheduled',
      async ({ request }) => answer(await options.scheduled.list(readScheduledFilter(request))),
      describe('/admin/scheduled'),
    )
    .get(
      '/audit',
      async ({ request }) => answer(await store.audit(readAuditPage(request))),
      describe('/admin/audit'),
    )
    .get(
      '/system',
      async () => {
        const { version, settings } = options
        const [system, { instances }] = await Promise.all([store.system(), store.overview()])
        return answer({
          version,
          bun: Bun.version,
          settings,
          ...system,
          problems: problemsOf(instances),
        })
      },
      describe('/admin/system'),
    )
    .post(
      '/disconnect',
      async ({ request, caller }) => {
        const { object } = await readChange(request)
        const { userId } = readDisconnect(object)
        await store.disconnect(userId, caller.userId)
        note(caller.userId, 'disconnect', { target: userId })
        return answer({ disconnected: userId })
      },
      raw,
    )
    .post(
      '/publish',
      async ({ request, caller }) => {
        const { object, text } = await readChange(request)
        const { items, body: source } = readJsonRequest(object, text, null)
        const [item] = items
        if (!item || items.length > 1)
          throw new KairanError('bad_request', 'Send one notification.')
        if (item instanceof KairanError) throw item
        const [result] = await options.publish([item], source, caller.userId)
        if (!result || result instanceof KairanError) throw result
        return answer({ id: result.id })
      },
      raw,
    )
    .post(
      '/redeliver',
      async ({ request, caller: { userId } }) => {
        const { object } = await readChange(request)
        const asked = readRedelivery(object)
        if (asked.notification === null) {
          const step = await store.redeliverSome(asked.filter, userId)
          if (step.changed > 0) note(userId, 'redeliver', { changed: step.changed })
          return answer(step)
        }
        const changed = await store.redeliver(asked.notification, asked.channel, userId)
        note(userId, 'redeliver', { target: asked.notification, changed })
        return answer({ changed, next: null })
      },
      raw,
    )
    .post(
      '/withdraw',
      async ({ request, caller: { userId } }) => {
        const { object } = await readChange(request)
        const { notification } = readWithdrawal(object)
        if (!(await store.withdraw(notification, userId))) {
          throw new KairanError('not_found', 'There is no such notification that can be withdrawn.')
        }
        note(userId, 'withdraw', { target: notification })
        return answer({ withdrawn: notification })
      },
      raw,
    )
    .post(
      '/follow-ups/retry',
      async ({ request, caller: { userId } }) => {
        const { object } = await readChange(request)
        const { id } = readFollowUpId(object)
        const isRetried = await options.followUps.retry(id, userId)
        if (!isRetried) {
          throw new KairanError('not_found', 'There is no such follow-up that was given up.')
        }
        note(userId, 'retry follow-up', { target: id })
        return answer({ retried: id })
      },
      raw,
    )
    .post(
      '/prune',
      async ({ request, caller: { userId } }) => {
        const { object } = await readChange(request)
        requireMembers(object, [])
        const step = await store.prune(options.retentionMs, userId)
        if (step.next !== null) note(userId, 'prune', { changed: step.changed })
        return answer(step)
      },
      raw,
    )
}

/** Why instances are not ready, with the details that /readyz leaves out. */
const problemsOf = (instances: Instance[]): InstanceProblem[] =>
  instances.flatMap(({ id, facts: { problem } }) => (problem ? [{ instanceId: id, problem }] : []))

/** A user without what a token adds. */
const byName = (userId: string): Reading => ({ userId, subscribes: [] })

type Described = keyof typeof adminOperations extends `GET ${infer Path}` ? Path : never

const describe = (path: Described) => ({ detail: adminOperations[`GET ${path}`].detail })

const raw = { parse: 'none' } as const

/** Largest body, in bytes. */
const maxBytes = 1024 * 1024
