/**
 * How long does it take from a commit until the client has the event, at 100 and at 1,000 events a second? Kairan runs
 * in a process of its own, beside a bare LISTEN client. The same transaction wakes both, so the ratio is the cost of
 * Kairan: numbering, reading the log, permissions, SSE.
 */
import postgres from 'postgres'
import { blocksOf } from './support/blocks.ts'
import { benchDatabase, benchService, tokenFor } from './support/server.ts'
import { median, printTable, quantile, runs } from './support/table.ts'

const seconds = 4

await using database = await benchDatabase()
await using service = await benchService(database.url)
const sql = postgres(database.url, { max: 4, onnotice: () => undefined })

let committing = new Map<number, number>()
let bare: number[] = []
let kairan: number[] = []
const arrived = (into: number[], number: number) => {
  const from = committing.get(number)
  if (from !== undefined) into.push(performance.now() - from)
}

await sql.listen('bench', payload => arrived(bare, Number(payload)))
const abort = new AbortController()
const response = await fetch(`${service.url}/notifications/stream`, {
  signal: abort.signal,
  headers: { authorization: `Bearer ${await tokenFor('1')}` },
})
const read = async () => {
  for await (const block of blocksOf(response)) {
    const number = /"number": (\d+)/.exec(block)?.[1]
    if (number !== undefined) arrived(kairan, Number(number))
  }
}
read().catch(() => undefined) // Aborted at the end.

const publish = (number: number) =>
  sql.begin(async tx => {
    await tx`select kairan.publish('user-1', ${tx.json({ number })}), pg_notify('bench', ${String(number)})`
    committing.set(number, performance.now())
  })

const measure = async (perSecond: number) => {
  committing = new Map()
  bare = []
  kairan = []
  const count = perSecond * seconds
  const start = performance.now()
  const running: Promise<unknown>[] = []
  for (let number = 0; number < count; number++) {
    await Bun.sleep(Math.max(0, start + (number * 1000) / perSecond - performance.now()))
    running.push(publish(number))
  }
  await Promise.all(running)
  while (kairan.length < count || bare.length < count) {
    if (performance.now() > start + (seconds + 10) * 1000) throw new Error('Some never arrived')
    await Bun.sleep(20)
  }
  return [quantile(bare, 0.5), quantile(kairan, 0.5), quantile(bare, 0.99), quantile(kairan, 0.99)]
}

console.log('From commit to client, milliseconds')
const rows: string[][] = []
for (const perSecond of [100, 1000]) {
  const found: number[][] = []
  for (let run = 0; run < runs; run++) found.push(await measure(perSecond))
  const column = (index: number) => median(found.map(values => values[index] ?? Number.NaN))
  const ratio = (own: number, other: number) =>
    median(found.map(values => (values[own] ?? 0) / (values[other] ?? 0)))
  const ms = (value: number) => value.toFixed(2)
  rows.push(
    [`bare LISTEN, ${perSecond}/s`, ms(column(0)), ms(column(2))],
    [`Kairan, ${perSecond}/s`, ms(column(1)), ms(column(3))],
    ['ratio', `${ms(ratio(1, 0))} ×`, `${ms(ratio(3, 2))} ×`],
  )
}
printTable(['', 'p50', 'p99'], rows)
abort.abort()
await sql.end({ timeout: 1 })
