/**
 * How late are 10,000 notifications that are due in the same second, and how much longer does what others publish
 * meanwhile take? Then the same for 10,000 follow-ups: the first and the last row of kairan.follow_ups. They go to 100
 * users with open streams. Meanwhile somebody else publishes 100 a second.
 */
import { connect } from '../src/postgres/connect.ts'
import { eventually } from '../test/support/eventually.ts'
import { blocksOf } from './support/blocks.ts'
import { mark, openReaders } from './support/readers.ts'
import { benchDatabase, benchService, tokenFor, tokens } from './support/server.ts'
import { fewRuns, median, printTable } from './support/table.ts'

const count = Number(process.env.COUNT ?? 10_000)
const users = 100
const perSecond = 100
const path = '/notifications/stream'

await using database = await benchDatabase()
await using service = await benchService(database.url)
await using readers = await openReaders([])
await readers.open(service.url, path, await tokens(users))
const sql = connect(database.url, { max: 1, name: 'bench', direct: true })
const watching = connect(database.url, { max: 1, name: 'bench', direct: true })
const now = () => performance.timeOrigin + performance.now()

/** Calls `arrived` with the payload of each event of a user. */
const listen = async (user: string, arrived: (text: string) => void) => {
  const response = await fetch(`${service.url}${path}`, {
    headers: { authorization: `Bearer ${await tokenFor(user)}` },
  })
  const read = async () => {
    for await (const block of blocksOf(response)) if (block.includes('"payload"')) arrived(block)
  }
  read().catch(() => undefined) // The service ends it.
}

const sent = new Map<number, number>()
let waits: number[] = []
await listen('probe', text => {
  const number = Number(/"number": (\d+)/.exec(text)?.[1])
  waits.push(now() - (sent.get(number) ?? now()))
})
let firstAt = 0
await listen('witness', () => {
  firstAt ||= now()
})

/** The p50 of what somebody else publishes while `work` runs, in milliseconds. */
let number = 0
const meanwhile = async (work: () => Promise<unknown>) => {
  let isDone = false
  waits = []
  const publishing = (async () => {
    for (const start = now(), first = number; !isDone; number++) {
      await Bun.sleep(Math.max(0, start + ((number - first) * 1000) / perSecond - now()))
      sent.set(number, now())
      await sql`select kairan.publish('user-probe', ${sql.json({ number })})`
    }
  })()
  await work()
  isDone = true
  await publishing
  await Bun.sleep(200)
  return median(waits)
}

type Found = { first: number; all: number; p50: number; alone: number }

const scheduled = async (): Promise<Found> => {
  const alone = await meanwhile(() => Bun.sleep(3000))
  const dueAt = now() + 4000
  firstAt = 0
  const before = (await readers.count()).events
  await sql`
    insert into kairan.scheduled (channels, payload, send_at)
    select array[case when n = 1 then 'user-witness' else 'user-' || n % ${users} end],
      jsonb_build_object('text', ${mark}::text), to_timestamp(${dueAt / 1000}::float8)
    from generate_series(1, ${count + 1}) n`
  await Bun.sleep(Math.max(0, dueAt - now()))
  let all = 0
  const p50 = await meanwhile(async () => {
    all = (await readers.events(before + count)).lastAtMs - dueAt
  })
  return { first: firstAt - dueAt, all, p50, alone }
}

const followedUp = async (): Promise<Found> => {
  await sql`truncate kairan.follow_ups`
  await sql`
    insert into kairan.notifications (channels, payload, follow_up_after)
    select array['user-away' || n], '{}', '1 hour' from generate_series(1, ${count}::int) n`
  await eventually(
    async () => (await sql`select from kairan.follow_up_due`).length === count,
    60_000,
  )
  const alone = await meanwhile(() => Bun.sleep(3000))
  const dueAt = now() + 1500
  await sql`update kairan.follow_up_due set due_at = to_timestamp(${dueAt / 1000}::float8)`
  await Bun.sleep(Math.max(0, dueAt - now()))
  const p50 = await meanwhile(() =>
    eventually(async () => {
      const [row] = await watching`select count(*)::int as n from kairan.follow_ups`
      await Bun.sleep(50)
      return row?.n === count
    }, 60_000),
  )
  const [row] = await sql<{ first: number; last: number }[]>`
    select extract(epoch from min(created_at))::float8 * 1000 as first,
      extract(epoch from max(created_at))::float8 * 1000 as last
    from kairan.follow_ups`
  return { first: (row?.first ?? 0) - dueAt, all: (row?.last ?? 0) - dueAt, p50, alone }
}

const rows: string[][] = []
for (const [name, measure] of Object.entries({ scheduled, 'follow-ups': followedUp })) {
  const found: Found[] = []
  for (let run = 0; run < fewRuns; run++) found.push(await measure())
  const of = (value: (one: Found) => number, digits: number) =>
    median(found.map(value)).toFixed(digits)
  rows.push([
    `${count} ${name}`,
    of(({ first }) => first, 0),
    of(({ all }) => all, 0),
    of(({ alone }) => alone, 2),
    of(({ p50 }) => p50, 2),
    `${of(({ p50, alone }) => p50 / alone, 2)} ×`,
  ])
}
console.log('Due at the same moment, milliseconds from then on')
printTable(['', 'first', 'all', "others' p50: alone", 'meanwhile', 'ratio'], rows)
await Promise.all([sql.end(), watching.end()])
