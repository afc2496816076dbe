import { advance } from '../../src/log/log-store.ts'
import { connect, type Sql } from '../../src/postgres/connect.ts'
import { migrate } from '../../src/postgres/migrate.ts'
import { eventually } from '../../test/support/eventually.ts'
import { fill } from './fill.ts'
import { explainAll, plansIn } from './plans.ts'
import { mark } from './reader.ts'
import { benchService, ownDatabase, tokenFor } from './server.ts'
import { measured, median, runs } from './table.ts'

/** What a dispatcher knows that has the log up to there. */
const unknown = (after: number) => ({
  after,
  seen: null,
  batch: null,
  awakeMs: 0,
  owner: 0,
})

/**
 * Measures work on a log of this many rows: its milliseconds, and the plans of Postgres. The events of the stream that
 * resumes are spread over the whole log. A tenth of the log was delivered earlier to the user of the stream without a
 * cursor: a statement without the right index would have to read all that.
 */
export const ofLength = async (rows: number) => {
  await using database = await ownDatabase()
  await migrate(database.url)
  const sql = connect(database.url, { max: 1, name: 'bench', direct: true })
  await fill(sql, rows)
  const [log] = await sql<{ epoch: string }[]>`select epoch from kairan.log`
  const beginning = `${log?.epoch}-0`

  let head = rows
  const number = async (count: number) => {
    await publish(sql, 'user-nobody', count)
    const ms = await timed(() => advance(sql, unknown(head)))
    await sql`update kairan.numbered set status = 'd' where seq > ${head}`
    head += count
    return ms
  }
  const resume = (url: string) => timeUntil(url, 'rare', 100, beginning)
  const connectFirst = async (url: string) => {
    const ms = await timeUntil(url, 'busy', 10)
    // They are set to pending again as soon as they are marked.
    let marked = 0
    await eventually(async () => {
      const { count } = await sql`
        update kairan.numbered set status = 'p'
        where seq in (select generate_series(${rows - 100}::int, ${rows - 10}::int, 10)) and status = 'd'`
      marked += count
      return marked === 10
    })
    return ms
  }

  const found = new Map<string, number>()
  found.set('number and read 1', await several(() => number(1)))
  found.set('number and read 1,000', await several(() => number(1000)))
  {
    // The service has just started at the head, so it has no earlier events in memory.
    await using service = await benchService(database.url)
    found.set('resume, 100 events missed', await several(() => resume(service.url)))
    found.set('first connect, 10 pending', await several(() => connectFirst(service.url)))
  }

  await explainAll(sql)
  const explained = connect(database.url, { max: 1, name: 'bench', direct: true })
  {
    await using service = await benchService(database.url)
    await resume(service.url)
    await connectFirst(service.url)
    const live = timeUntil(service.url, 'rare', 1100, beginning)
    await publish(sql, 'all-users', 1000)
    await live
  }
  for (const [name, step] of retention) {
    await step(explained)
    found.set(name, (await measured(() => timed(() => step(sql)))).median)
  }
  await Promise.all([sql.end(), explained.end()])
  return { rows, found, plans: plansIn(await Bun.file(database.log).text()) }
}

const retention: [string, (sql: Sql) => PromiseLike<unknown>][] = [
  ['expire, after a start', sql => sql`select kairan.expire_after('-infinity')`],
  ['give up 1,000', sql => sql`select kairan.raise_floor('0 seconds')`],
  ['remove 1,000', sql => sql`select kairan.prune()`],
]

const text = mark + 'x'.repeat(200 - '{"text":""}'.length - 1)

const publish = (sql: Sql, channel: string, count: number) => sql`
  insert into kairan.notifications (channels, payload)
  select array[${channel}::text], jsonb_build_object('text', ${text}::text) from generate_series(1, ${count}::int)`

/** How many milliseconds it takes until a new stream has received this many events. */
const timeUntil = async (url: string, userId: string, events: number, lastEventId?: string) => {
  const headers = new Headers({ authorization: `Bearer ${await tokenFor(userId)}` })
  if (lastEventId !== undefined) headers.set('last-event-id', lastEventId)
  const begin = performance.now()
  const response = await fetch(`${url}/notifications/stream`, { headers })
  let count = 0
  for await (const bytes of response.body ?? []) {
    for (const byte of bytes) if (byte === mark.charCodeAt(0)) count++
    if (count >= events) return performance.now() - begin
  }
  throw new Error(`The stream ended after ${count} of ${events} events`)
}

const timed = async (work: () => PromiseLike<unknown>) => {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}

/** Once to warm up, then three times in each run, because these are short. */
const several = async (measure: () => Promise<number>) => {
  await measure()
  const values: number[] = []
  for (let run = 0; run < runs * 3; run++) values.push(await measure())
  return median(values)
}
