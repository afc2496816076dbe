import { expect, test } from 'bun:test'
import { createInbox } from '../../src/client/inbox.ts'
import { createNotifications } from '../../src/client/index.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serveFront } from '../support/front.ts'
import { serve, tokenFor } from '../support/service.ts'
import { serveSlowFront } from '../support/slow-front.ts'

const queries = {
  whole: { limit: 100 },
  short: { limit: 2 },
  typed: { limit: 100, type: 'a' },
}
const orders: (keyof typeof queries)[][] = [
  ['whole'],
  ['typed'],
  ['whole', 'whole'],
  ['short', 'whole', 'short'],
  ['typed', 'whole'],
  ['whole', 'typed', 'typed'],
]

test('any number of first pages in any order loses no event, and repeats none', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using front = serveSlowFront(service.url, () => Math.random() * 80)
  let isOver = false
  const publishing = (async () => {
    for (let n = 0; !isOver; n++) {
      await db.sql`select kairan.publish('all-users', '{}', ${n % 2 ? 'a' : 'b'})`
      await Bun.sleep(2)
    }
  })()
  const rounds = orders.map((order, index) => {
    const client = createNotifications({ url: front.url, auth: () => tokenFor(`u${index}`) })
    const events: string[] = []
    client.on('*', ({ id }) => events.push(String(id)))
    return { order, client, events, asking: order.map(kind => client.list(queries[kind])) }
  })
  await eventually(() => rounds.every(({ events }) => events.length > 10))
  isOver = true
  await publishing
  const all = await db.sql`select notification_id as id, seq from kairan.deliveries order by seq`
  const last = String(all.at(-1)?.id)
  for (const { order, client, events, asking } of rounds) {
    await eventually(() => events.includes(last))
    const pages = await Promise.all(asking)
    const listed = new Set(pages.flatMap(({ notifications }) => notifications.map(({ id }) => id)))
    expect([order, events.filter(id => listed.has(id))]).toEqual([order, []])
    expect(new Set(events).size).toBe(events.length)
    // From where the first of them was read, nothing is missing.
    const first = Math.min(...pages.map(({ cursor }) => Number(cursor.split('-')[1])))
    const later = all.filter(({ seq }) => Number(seq) > first).map(({ id }) => String(id))
    expect([order, later.filter(id => !listed.has(id) && !events.includes(id))]).toEqual([
      order,
      [],
    ])
    client.close()
  }
})

test('when a stream begins, an inbox asks once for its page and the counts', async () => {
  await using db = await database()
  await using service = await serve(db, { RETRY_MS: '50' })
  await using front = serveFront(() => service.url)
  const client = createNotifications({ url: front.url, auth: () => tokenFor('42') })
  const inbox = createInbox(client)
  const leave = inbox.subscribe(() => undefined)
  /** Waits until an event has come, and what was asked for at the stream's begin is answered. */
  const settled = async (n: number) => {
    await eventually(() => inbox.state.isLive && inbox.state.status === 'ready')
    await db.sql`select kairan.publish('user-42', '{}')`
    await eventually(() => inbox.state.items.length === n && inbox.state.unread === n)
    return front.passed.splice(0).filter(asked => !asked.includes('/stream'))
  }
  const page = 'GET /notifications?limit=20'
  // The first page does not wait for the stream.
  expect(await settled(1)).toEqual([page, page])
  // A count of its own comes where no inbox is open.
  const cut = async () => {
    front.answerWith(502)
    await eventually(() => !inbox.state.isLive)
    front.answerWith(null)
  }
  await cut()
  // With what is shown already.
  expect(await settled(2)).toEqual(['GET /notifications?limit=21'])
  leave()
  await cut()
  await eventually(() => client.status === 'open' && front.passed.some(isCount))
  client.close()
})

const isCount = (asked: string) => asked === 'GET /notifications?limit=1'
