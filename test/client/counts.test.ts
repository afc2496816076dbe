/**
 * Whatever comes in which order: as soon as all has come, the client counts what the service counts.
 * `COUNTS_SECONDS` says for how long it looks (10, in CI 60), COUNTS_SEED repeats a run.
 */
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createInbox, type Inbox, type InboxOptions } from '../../src/client/inbox.ts'
import { createNotifications } from '../../src/client/index.ts'
import { queryOf } from '../../src/client/requests.ts'
import type { InboxItem, Notifications } from '../../src/client/types.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { ask, mark, pageOf } from '../support/inbox.ts'
import { serve, tokenFor } from '../support/service.ts'
import { serveSlowFront } from '../support/slow-front.ts'

const { CI, COUNTS_SECONDS, COUNTS_SEED } = process.env
const seconds = Number(COUNTS_SECONDS) || (CI ? 60 : 10)
const seed = Number(COUNTS_SEED) || Math.floor(Math.random() * 2 ** 31)

/** So many users at a time: each waits most of its time. */
const atOnce = 10

type Step =
  | { kind: 'publish'; channels: string[]; expires: boolean; holdMs: number }
  | { kind: 'read' | 'unread' | 'redeliver' | 'withdraw'; place: number; by: string }
  | { kind: 'archive' | 'unarchive'; place: number; by: string }
  | { kind: 'all' | 'upTo' | 'seen'; place: number; by: string }
  | { kind: 'list' | 'listOfType' | 'cut' | 'wait' }

const rarely = fc.constantFrom(false, false, true)
const marking = { place: fc.nat(5), by: fc.constantFrom('client', 'device') }
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      channels: fc.subarray(['own', 'all-users'], { minLength: 1 }),
      expires: rarely,
      holdMs: rarely.map(isHeld => (isHeld ? 80 : 0)),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constantFrom('read', 'unread', 'redeliver'), ...marking }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('archive', 'unarchive', 'withdraw'), ...marking }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('all', 'upTo', 'seen'), ...marking }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom('list', 'listOfType', 'cut', 'wait') }),
  },
)

/** What is all told by answers and the stream: nothing in it has the client ask again. */
const calmStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      channels: fc.boolean().map(isOwn => [isOwn ? 'own' : 'all-users']),
      expires: fc.constant(false),
      holdMs: fc.constant(0),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('read', 'unread', 'all', 'seen', 'archive'),
      ...marking,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('list', 'listOfType') }) },
)

const storyOf = (step: fc.Arbitrary<Step>) =>
  fc.record({
    before: fc.array(step, { maxLength: 4 }),
    firstPages: fc.array(fc.constantFrom('list' as const, 'listOfType' as const), { maxLength: 2 }),
    after: fc.array(step, { minLength: 5, maxLength: 25 }),
    inbox: fc.constantFrom<InboxOptions | null>(null, {}, { type: 'a' }, { archived: true }),
    delays: fc.array(fc.oneof(fc.nat(60), fc.constant(400)), { minLength: 5, maxLength: 20 }),
  })
const story = fc.oneof(storyOf(step), storyOf(calmStep))
type Story = typeof story extends fc.Arbitrary<infer Value> ? Value : never

test('the client counts what the service counts, in whatever order all of it comes', async () => {
  await using db = await database()
  await using service = await serve(db, { RETRY_MS: '50' })
  const end = Date.now() + seconds * 1000
  let users = 0
  for (let turn = 0; turn === 0 || Date.now() < end; turn++) {
    const stories = fc.sample(story, { seed: seed + turn, numRuns: atOnce })
    await Promise.all(stories.map(story => play(db, service.url, `u${++users}`, story))).catch(
      error => {
        error.message = `COUNTS_SEED=${seed + turn} ${error.message}`
        throw error
      },
    )
  }
  console.log(`${users} users`)
  expect(users).toBeGreaterThanOrEqual(atOnce)
}, 180_000)

/** Does what a story says with the client of one user, over a proxy that is slow; then the counts have to agree. */
const play = async (db: TestDatabase, url: string, userId: string, story: Story) => {
  let turn = 0
  await using front = serveSlowFront(url, () => story.delays[turn++ % story.delays.length] ?? 0)
  const published: string[] = []
  const does = async (step: Step) => {
    if (!('place' in step)) return others(step)
    const ids = published.slice(step.place, step.place + 1)
    if (step.kind === 'withdraw')
      return db.sql`select kairan.withdraw(id::uuid) from unnest(${ids}::text[]) id`
    if (step.kind === 'redeliver')
      return db.sql`select kairan.redeliver(id::uuid) from unnest(${ids}::text[]) id`
    return marks(step, ids)
  }
  const others = async (step: Exclude<Step, { place: number }>) => {
    if (step.kind === 'wait') return Bun.sleep(60)
    if (step.kind === 'cut') return front.cut()
    if (step.kind === 'publish') return publish(db, userId, step, published)
    return client?.list({ limit: 2, ...(step.kind === 'listOfType' ? { type: 'a' } : {}) })
  }
  const marks = async (step: Extract<Step, { place: number }>, ids: string[]) => {
    const isByClient = client && step.by === 'client'
    if (step.kind === 'all')
      return isByClient ? client?.markAllRead() : mark(url, userId, { all: true })
    if (step.kind === 'archive' || step.kind === 'unarchive') {
      const post = { ids, archived: step.kind === 'archive' }
      if (isByClient) return client?.request('/archive', post)
      return ask(url, userId, { path: '/archive', post })
    }
    if (step.kind === 'upTo' || step.kind === 'seen') {
      const [, { cursor } = { cursor: null }] = (await pageOf(url, userId)).notifications
      if (cursor === null) return null
      if (step.kind === 'seen') {
        const post = { upTo: cursor }
        if (isByClient) return client?.request('/seen', post)
        return ask(url, userId, { path: '/seen', post })
      }
      return isByClient ? client?.markReadUpTo(cursor) : mark(url, userId, { upTo: cursor })
    }
    if (!isByClient) return mark(url, userId, { ids, read: step.kind === 'read' })
    return step.kind === 'read' ? client?.markRead(ids) : client?.markUnread(ids)
  }

  let client: Notifications | null = null
  for (const step of story.before) await does(step)
  client = createNotifications({ url: front.url, auth: () => tokenFor(userId) })
  const end = client.subscribe(() => undefined)
  const withdrawn = new Set<unknown>()
  const shownAfter: unknown[] = []
  client.onControl('withdrawn', ({ ids }) => [ids].flat().forEach(id => void withdrawn.add(id)))
  client.on('*', ({ id }) => withdrawn.has(id) && shownAfter.push(id))
  const inbox = story.inbox && createInbox(client, story.inbox)
  const leave = inbox?.subscribe(() => {
    for (const { id } of inbox.state.items) heard.has(id) && shownAfter.push(id)
  })
  // The inbox hears of it right after.
  const heard = new Set<unknown>()
  client.onControl('withdrawn', () => withdrawn.forEach(id => void heard.add(id)))
  const doing: Promise<unknown>[] = []
  try {
    for (const kind of story.firstPages) doing.push(does({ kind }).catch(() => null))
    for (const step of story.after) {
      // Nobody waits for an answer before the next step, but for a moment.
      // One that fails tells the client nothing.
      const done = does(step).catch(() => null)
      doing.push(done)
      await Promise.race([done, Bun.sleep(20)])
    }
    await Promise.all(doing)
    if (client.unread === null) await client.list({ limit: 1 })
    const read = () => pageOf(url, userId, `?${queryOf({ limit: 100, ...story.inbox })}`)
    await agree(front, client, inbox, read).catch(async error => {
      const found = client && differences(client, inbox, await read())
      throw new Error(`${userId}: ${found?.join(', ')}: ${JSON.stringify(story)}\n${error}`)
    })
    expect([shownAfter, story]).toEqual([[], story])
  } finally {
    end()
    leave?.()
    client.close()
  }
}

/** In what a client and its inbox are not what the service says. */
const differences = (client: Notifications, inbox: Inbox | null, page: Page) => {
  const list = (items: readonly Pick<InboxItem, 'id' | 'read'>[]) =>
    items.map(({ id, read }) => `${id} ${read}`)
  const { unread, unseen, items = [], hasMore } = inbox?.state ?? {}
  // What it has not loaded is not compared.
  const most = hasMore ? items.length : Infinity
  const pairs = {
    unread: [client.unread, page.unread],
    unseen: [client.unseen, page.unseen],
    ...(inbox && {
      'unread of the inbox': [unread, page.unread],
      'unseen of the inbox': [unseen, page.unseen],
      list: [`${list(items)}`, `${list(page.notifications.slice(0, most))}`],
    }),
  }
  return Object.entries(pairs).flatMap(([name, [here, there]]) =>
    here === there ? [] : [`${name}: ${here} and not ${there}`],
  )
}

type Page = Awaited<ReturnType<typeof pageOf>>

/** Waits until nothing is under way, and the two agree and stay so. */
const agree = async (
  front: { underWay: number },
  client: Notifications,
  inbox: Inbox | null,
  read: () => Promise<Page>,
) => {
  let agreed = 0
  await eventually(async () => {
    const isSame = differences(client, inbox, await read()).length === 0
    agreed = front.underWay === 0 && isSame ? agreed + 1 : 0
    await Bun.sleep(30)
    return agreed > 10
  }, 15_000)
}

const publish = async (
  { sql }: TestDatabase,
  userId: string,
  { channels, expires, holdMs }: Step & { kind: 'publish' },
  published: string[],
) => {
  const names = channels.map(name => (name === 'own' ? `user-${userId}` : name))
  const expiresAt = expires ? new Date(Date.now() + 1500) : null
  await sql.begin(async tx => {
    const [row] = await tx`
      select kairan.publish(${names}::text[], '{}', ${Math.random() < 0.5 ? 'a' : 'b'}, null, ${expiresAt}) as id`
    await Bun.sleep(holdMs)
    published.unshift(String(row?.id))
  })
}
