/**
 * What does an event cost when events come one by one? At 100 events a second to 1,000 streams: the server's CPU time
 * for each event that a stream received.
 */
import { nchan } from './peers/nchan.ts'
import { kairan } from './support/kairan.ts'
import { betterSse, type Peer, plainElysia, withReaders } from './support/peer.ts'
import { mark, usageOf } from './support/readers.ts'
import { measured, printTable } from './support/table.ts'

const streams = 1000
const perSecond = 100
const seconds = 3
const text = mark + 'x'.repeat(200 - '{"text":""}'.length - 1)

const paced = (start: () => Promise<Peer | null>) =>
  withReaders(start, streams, async (peer, readers) => {
    const once = async () => {
      const before = await readers.count()
      const used = await usageOf(peer.pids)
      const begin = performance.now()
      const count = perSecond * seconds
      for (let n = 0; n < count; n++) {
        await Bun.sleep(Math.max(0, begin + (n * 1000) / perSecond - performance.now()))
        await peer.publish(1, text)
      }
      await readers.events(before.events + count * streams)
      return (((await usageOf(peer.pids)).cpuMs - used.cpuMs) * 1000) / (count * streams)
    }
    await once()
    return { name: peer.name, micros: (await measured(once)).median }
  })

const found = [
  await paced(kairan),
  await paced(nchan),
  await paced(betterSse),
  await paced(plainElysia),
].filter(result => result !== null)

console.log(`CPU for each event of ${perSecond} a second to ${streams} streams, microseconds`)
const [own] = found
printTable(
  ['', 'µs', 'Kairan is'],
  found.map(({ name, micros }) => [
    name,
    micros.toFixed(2),
    `${((own?.micros ?? 0) / micros).toFixed(2)} ×`,
  ]),
)
