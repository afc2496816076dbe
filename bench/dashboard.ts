/**
 * How long does the dashboard wait for its answers while there are 10,000 streams and 1,000 events a second? It is open
 * in Chromium meanwhile, if there is one: PICTURE names the file for a picture of it.
 */
import { chromium } from 'playwright-core'
import { connect } from '../src/postgres/connect.ts'
import { mark, openReaders, pinned, withFiles } from './support/readers.ts'
import { benchService, ownDatabase, tokenFor, tokens } from './support/server.ts'
import { printTable, quantile } from './support/table.ts'

const streams = Number(process.env.STREAMS ?? 10_000)
const perSecond = Number(process.env.RATE ?? 1000)
const seconds = Number(process.env.SECONDS ?? 60)
const stepMs = 50

await using database = await ownDatabase()
await using service = await benchService(database.url, { MAX_STREAMS: '20000' }, pinned(0))
await using readers = await openReaders([...pinned(1), ...(withFiles(streams + 1000) ?? [])])
const sql = connect(database.url, { max: 4, name: 'bench', direct: true })
await sql`insert into kairan.roles values ('boss', 100)`
const { open } = await readers.open(service.url, '/notifications/stream', await tokens(streams))
if (open !== streams) throw new Error(`${open} of ${streams} opened`)

let isOver = false
let published = 0
const publish = async () => {
  const begun = performance.now()
  while (!isOver) {
    const due = Math.floor(((performance.now() - begun) / 1000) * perSecond) - published
    if (due > 0) {
      await sql`
        insert into kairan.notifications (channels, payload, type)
        select array['user-' || floor(random() * ${streams}::int)], jsonb_build_object('orderId', n, 'text', ${mark}::text),
          (array['order.shipped', 'order.placed', 'comment.new'])[1 + n % 3]
        from generate_series(${published + 1}::int, ${published + due}::int) n`
      published += due
    }
    await Bun.sleep(stepMs)
  }
}

const authorization = `Bearer ${await tokenFor('boss')}`
const questions = {
  overview: 'overview',
  history: 'history',
  'streams, a page': 'streams?limit=50',
  'streams of a user': 'streams?user=77&limit=50',
  presence: 'presence?limit=50',
  'notifications, a page': 'deliveries?limit=50',
  '… of a type that few have': 'deliveries?limit=50&type=none',
  '… by payload': `deliveries?${new URLSearchParams({ limit: '50', payload: '{"orderId": 5}' })}`,
  'how many would be redelivered': 'deliveries/count?status=delivered',
  system: 'system',
}
const times = new Map<string, { ms: number; bytes: number }[]>()
const ask = async (name: string, path: string) => {
  const start = performance.now()
  const response = await fetch(`${service.url}/admin/${path}`, { headers: { authorization } })
  const { length } = await response.text()
  if (!response.ok) throw new Error(`${path} was answered with ${response.status}`)
  const all = times.get(name) ?? []
  times.set(name, [...all, { ms: performance.now() - start, bytes: length }])
}

/** The page as an operator has it open. Returns what its console complained of. */
const look = async () => {
  const executablePath = process.env.CHROMIUM_PATH ?? Bun.which('chromium')
  if (!executablePath) return null
  const running = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  const page = await running.newPage({ viewport: { width: 1280, height: 800 } })
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(error.message))
  await page.goto(`${service.url}/dashboard`)
  await page.getByLabel('Token of an admin').fill(await tokenFor('boss'))
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Users online').waitFor()
  return {
    async close() {
      if (process.env.PICTURE) {
        const clip = { x: 0, y: 0, width: 1280, height: 540 }
        await page.screenshot({ path: process.env.PICTURE, clip })
      }
      await page.getByRole('link', { name: 'Notifications', exact: true }).click()
      await page.getByRole('row').filter({ hasText: 'order.' }).first().waitFor()
      await running.close()
      return complaints
    },
  }
}

const publishing = publish()
const page = await look()
const end = performance.now() + seconds * 1000
while (performance.now() < end) {
  for (const [name, path] of Object.entries(questions)) await ask(name, path)
}
const complaints = (await page?.close()) ?? []
isOver = true
await publishing
await sql.end()
if (complaints.length > 0) throw new Error(complaints.join('\n'))

console.log(`${streams} streams, ${perSecond} events/s`)
printTable(
  ['', 'p50 ms', 'p95 ms', 'KiB', 'times'],
  [...times].map(([name, all]) => [
    name,
    quantile(
      all.map(({ ms }) => ms),
      0.5,
    ).toFixed(1),
    quantile(
      all.map(({ ms }) => ms),
      0.95,
    ).toFixed(1),
    ((all.at(-1)?.bytes ?? 0) / 1024).toFixed(1),
    String(all.length),
  ]),
)
