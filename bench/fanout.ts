/**
 * How many events a second can one core deliver to 1,000 streams of one channel? Each event has a payload of 200 bytes.
 * Kairan reads them from Postgres, from one commit, and writes their statuses.
 */
import { nchan } from './peers/nchan.ts'
import { kairan } from './support/kairan.ts'
import { betterSse, type Peer, plainElysia, withReaders } from './support/peer.ts'
import { mark } from './support/readers.ts'
import { measured, printTable } from './support/table.ts'

const streams = 1000
const text = mark + 'x'.repeat(200 - '{"text":""}'.length - 1)

const fanOut = (start: () => Promise<Peer | null>, events: number) =>
  withReaders(start, streams, async (peer, readers) => {
    const once = async () => {
      const before = await readers.count()
      const start = performance.timeOrigin + performance.now()
      const publishing = peer.publish(events, text)
      const after = await readers.events(before.events + events * streams)
      await publishing
      return {
        perSecond: (events * streams) / ((after.lastAtMs - start) / 1000),
        bytes: (after.bytes - before.bytes) / (events * streams),
      }
    }
    const { bytes } = await once()
    const { median } = await measured(async () => (await once()).perSecond)
    return { name: peer.name, perSecond: median, bytes }
  })

const found = [
  await fanOut(kairan, 5000),
  await fanOut(nchan, 500),
  await fanOut(betterSse, 300),
  await fanOut(plainElysia, 300),
].filter(result => result !== null)

console.log(`Events a second to ${streams} streams, one core`)
const [own] = found
printTable(
  ['', 'events/s', 'bytes each', 'Kairan is'],
  found.map(({ name, perSecond, bytes }) => [
    name,
    Math.round(perSecond).toLocaleString('en'),
    bytes.toFixed(0),
    `${((own?.perSecond ?? 0) / perSecond).toFixed(1)} ×`,
  ]),
)
