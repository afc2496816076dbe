/**
 * Does memory stay within its limits, and come back? Prints what the service's process holds (resident, in
 * MiB) while 1,000 clients that never read and 1,000 that do get 64 KB events, and after 100,000 connects
 * and 1,000,000 events. `SCALE=0.1` does a tenth of it.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { cluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { isReady } from '../support/process.ts'
import { tokenFor } from '../support/service.ts'
import { startInstance } from './instance.ts'

const scale = Number(process.env.SCALE ?? 1)
const mib = 1024 * 1024
const queueBytes = mib / 2

await using server = await cluster()
const sql = new Bun.SQL(server.url)
await using instance = await startInstance('src', server.url, {
  QUEUE_BYTES: String(queueBytes),
  HEARTBEAT_MS: '60000',
})
await eventually(() => isReady(instance.url))

const resident = async () => {
  const [line] = /VmRSS:\s+(\d+)/.exec(await Bun.file(`/proc/${instance.pid}/status`).text()) ?? []
  return Number(line?.match(/\d+/)?.[0]) / 1024
}

const { hostname, port, host } = new URL(instance.url)
const open = async (user: string): Promise<Socket> => {
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  socket.write(
    `GET /notifications/stream HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${await tokenFor(user)}\r\n\r\n`,
  )
  await once(socket, 'data')
  return socket
}

const results: Record<string, number | string> = {}
const base = await resident()
results['resident at the start'] = Math.round(base)

const settled = async () => {
  // The collector runs when it likes: wait until two readings agree.
  let last = 0
  await eventually(async () => {
    await Bun.sleep(1000)
    const now = await resident()
    const same = Math.abs(now - last) < 1
    last = now
    return same
  }, 60_000).catch(() => undefined)
  return last
}

// Clients that come and go, and events for one that stays. A first round warms everything up.
const rounds = async (connects: number, events: number) => {
  for (let left = connects; left > 0; left -= 500) {
    const sockets = await Promise.all(
      Array.from({ length: Math.min(500, left) }, (_, n) => open(`u${n}`)),
    )
    for (const socket of sockets) socket.destroy()
  }
  const socket = await open('1')
  let count = 0
  socket.on('data', data => {
    for (const byte of data) if (byte === 10) count++
  })
  const before = count
  for (let left = events; left > 0; left -= 10_000) {
    await sql`
      insert into kairan.notifications (channels, payload)
      select '{user-1}', jsonb_build_object('n', n) from generate_series(1, ${Math.min(10_000, left)}::int) n`
  }
  // Three line ends an event.
  await eventually(() => count - before >= events * 3, 300_000)
  socket.destroy()
}
await rounds(Math.round(5000 * scale), Math.round(50_000 * scale))
const warm = await settled()
results['resident after a warm-up'] = Math.round(warm)
const started = performance.now()
await rounds(Math.round(100_000 * scale), Math.round(1_000_000 * scale))
const after = await settled()
results[
  `after ${100_000 * scale} connects and ${1_000_000 * scale} events (${Math.round((performance.now() - started) / 1000)} s)`
] = Math.round(after)
results.growth = `${(((after - warm) / warm) * 100).toFixed(1)} %`

// Clients that never read beside clients that do.
{
  const each = Math.round(1000 * scale)
  const stopped: Socket[] = []
  for (let n = 0; n < each; n++) {
    const socket = await open(`stopped-${n}`)
    socket.pause()
    stopped.push(socket)
  }
  let bytes = 0
  let expected = 0
  const latencies: number[] = []
  let sentAt = 0
  const readers: Socket[] = []
  for (let n = 0; n < each; n++) {
    const socket = await open(`reader-${n}`)
    socket.on('data', data => {
      bytes += data.length
    })
    readers.push(socket)
  }
  bytes = 0
  // A broadcast to all, again and again: more than the kernel holds for those who do not read.
  const events = 100
  let peak = 0
  for (let n = 0; n < events; n++) {
    expected += 64_000 * each
    sentAt = performance.now()
    await sql`select kairan.publish('all-users', jsonb_build_object('n', ${n}::int, 'x', repeat('x', 64000)))`
    await eventually(() => bytes >= expected, 60_000)
    latencies.push(performance.now() - sentAt)
    peak = Math.max(peak, await resident())
  }
  // And to each of those who do not read, on their own channels, where no bytes can be shared.
  for (let n = 0; n < 12; n++) {
    await sql`
      insert into kairan.notifications (channels, payload)
      select array['user-stopped-' || i], jsonb_build_object('x', repeat('x', 64000))
      from generate_series(0, ${each - 1}::int) i`
    await eventually(async () => {
      const [row] = await sql`select count(*)::int as n from kairan.deliveries where seq is null`
      return row.n === 0
    }, 60_000)
    peak = Math.max(peak, await resident())
  }
  const sorted = latencies.toSorted((a, b) => a - b)
  results[`peak with ${each} stopped and ${each} reading clients`] = Math.round(peak)
  results['limit: start + stopped × (QUEUE_BYTES + one write) + 64 MiB of the log'] = Math.round(
    base + (each * (queueBytes + 256 * 1024)) / mib + 64,
  )
  results['a 64 KB broadcast to all who read, p50 ms'] = Math.round(
    sorted[Math.floor(sorted.length / 2)] ?? 0,
  )
  results['the same, last 10 of 100, ms'] = Math.round(
    latencies.slice(-10).reduce((a, b) => a + b, 0) / 10,
  )
  for (const socket of [...stopped, ...readers]) socket.destroy()
}

console.table(results)
await sql.close()
process.exitCode = after <= warm * 1.2 ? 0 : 1
