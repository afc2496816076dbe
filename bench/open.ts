/**
 * 10,000 clients connect at once: how much CPU does each opening cost, and how much memory each open stream? Kairan
 * verifies a JWT for each client; the others check nothing.
 */
import { nchan } from './peers/nchan.ts'
import { kairan } from './support/kairan.ts'
import { betterSse, type Peer, plainElysia } from './support/peer.ts'
import { openReaders, usageOf } from './support/readers.ts'
import { tokens } from './support/server.ts'
import { median, printTable, runs } from './support/table.ts'

const streams = Number(process.env.STREAMS ?? 10_000)
const warmUp = 1000
const identities = await tokens(streams + warmUp)

const once = async (start: () => Promise<Peer | null>) => {
  await using peer = await start()
  if (!peer) return null
  await using readers = await openReaders()
  // Warms up: loading and compiling happen once and are not the cost of a stream.
  await readers.open(peer.url, peer.path, identities.slice(0, warmUp))
  const before = await usageOf(peer.pids)
  const { open } = await readers.open(peer.url, peer.path, identities.slice(warmUp))
  const opened = await usageOf(peer.pids)
  if (open !== streams + warmUp)
    throw new Error(`${peer.name} opened ${open} of ${streams + warmUp}`)
  // After a quiet second, memory that only the opening needed is free again.
  await Bun.sleep(1000)
  const idle = await usageOf(peer.pids)
  return {
    name: peer.name,
    micros: ((opened.cpuMs - before.cpuMs) * 1000) / streams,
    kib: (idle.memory - before.memory) / 1024 / streams,
  }
}

const measure = async (start: () => Promise<Peer | null>) => {
  const all = []
  for (let run = 0; run < runs; run++) {
    const result = await once(start)
    if (!result) return null
    all.push(result)
  }
  return {
    name: all[0]?.name ?? '',
    micros: median(all.map(({ micros }) => micros)),
    kib: median(all.map(({ kib }) => kib)),
  }
}

const found = [
  await measure(kairan),
  await measure(nchan),
  await measure(betterSse),
  await measure(plainElysia),
].filter(result => result !== null)

console.log(`${streams.toLocaleString('en')} streams, each`)
const [own] = found
printTable(
  ['', 'µs CPU to open', 'Kairan is', 'KiB while idle', 'Kairan is'],
  found.map(({ name, micros, kib }) => [
    name,
    micros.toFixed(0),
    `${((own?.micros ?? 0) / micros).toFixed(2)} ×`,
    kib.toFixed(1),
    `${((own?.kib ?? 0) / kib).toFixed(2)} ×`,
  ]),
)
