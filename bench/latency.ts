/**
 * How long from a commit until the client has the event, at 100 a second? Kairan in a process of its
 * own, beside a bare LISTEN client: the same transaction wakes both, so the ratio is what Kairan costs
 * (numbering, reading the log, checking who may read it, SSE).
 */
import postgres from 'postgres'
import { benchDatabase, benchService, tokenFor } from './support/server.ts'
import { printTable, quantile } from './support/table.ts'

const perSecond = Number(process.env.RATE ?? 100)
const seconds = Number(process.env.SECONDS ?? 10)
const count = perSecond * seconds

await using database = await benchDatabase()
await using service = await benchService(database.url)
const sql = postgres(database.url, { max: 4, onnotice: () => undefined })

const committing = new Map<number, number>()
const bare: number[] = []
const kairan: number[] = []
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
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of response.body ?? []) {
    const blocks = (rest + decoder.decode(bytes, { stream: true })).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const number = /"number": (\d+)/.exec(block)?.[1]
      if (number !== undefined) arrived(kairan, Number(number))
    }
  }
}
read().catch(() => undefined) // Aborted at the end.

const publish = (number: number) =>
  sql.begin(async tx => {
    await tx`select kairan.publish('user-1', ${tx.json({ number })}), pg_notify('bench', ${String(number)})`
    committing.set(number, performance.now())
  })

const start = performance.now()
const running: Promise<unknown>[] = []
for (let number = 0; number < count; number++) {
  await Bun.sleep(Math.max(0, start + (number * 1000) / perSecond - performance.now()))
  running.push(publish(number))
}
await Promise.all(running)
while (kairan.length < count && performance.now() < start + (seconds + 10) * 1000)
  await Bun.sleep(20)

const ms = (value: number) => value.toFixed(2)
console.log(`From commit to client, ${count} notifications at ${perSecond}/s, milliseconds`)
printTable(
  ['', 'received', 'p50', 'p99'],
  [
    ['bare LISTEN', `${bare.length}`, ms(quantile(bare, 0.5)), ms(quantile(bare, 0.99))],
    ['Kairan', `${kairan.length}`, ms(quantile(kairan, 0.5)), ms(quantile(kairan, 0.99))],
    [
      'ratio',
      '',
      ms(quantile(kairan, 0.5) / quantile(bare, 0.5)),
      ms(quantile(kairan, 0.99) / quantile(bare, 0.99)),
    ],
  ],
)
abort.abort()
await sql.end({ timeout: 1 })
process.exitCode = kairan.length === count ? 0 : 1
