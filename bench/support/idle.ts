import { type RelayName, spent, startInstances } from './instances.ts'
import { openReaders, withFiles } from './readers.ts'
import { tokens } from './server.ts'

const settleMs = 3000
const seconds = 15

/**
 * What instances with this many streams each use in a second while nothing happens, and what it costs to open a stream,
 * its presence included; in milliseconds of CPU.
 */
export const idleInstances = async (count: number, relay: RelayName, streams: number) => {
  await using running = await startInstances(count, relay)
  await using readers = await openReaders(withFiles(count * streams + 1000) ?? [])
  const users = await tokens(streams)
  const start = performance.now()
  const atStart = await running.used()
  for (const url of running.urls) await readers.open(url, '/notifications/stream', users)
  await Bun.sleep(settleMs)
  const opening = await spent(running, atStart, 1)
  const openingSeconds = (performance.now() - start) / 1000
  const before = await running.used()
  await Bun.sleep(seconds * 1000)
  const used = await spent(running, before, seconds)
  const toOpen = (all: number, aSecond: number) =>
    (all - aSecond * openingSeconds) / (count * streams)
  return {
    postgresMs: used.postgresMs,
    natsMs: used.natsMs,
    instancesMs: used.instancesMs / count,
    openPostgresMs: toOpen(opening.postgresMs, used.postgresMs),
    openInstanceMs: toOpen(opening.instancesMs, used.instancesMs),
  }
}
