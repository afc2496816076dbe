import { expect, test } from 'bun:test'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createParser } from 'eventsource-parser'
import { createResponseReader } from '../support/chunked.ts'
import { openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

/** A client that can stop reading, as a phone in a tunnel does. */
const openSlow = async (url: string, user: string) => {
  const { hostname, port, host } = new URL(url)
  const socket: Socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  const numbers: number[] = []
  const live: unknown[] = []
  const controls: Record<string, unknown>[] = []
  const response = createResponseReader()
  const parser = createParser({
    onEvent({ id, event, data }) {
      const content = JSON.parse(event === 'ping' ? '{}' : data)
      if (event === 'control') controls.push(content)
      else if (event === undefined && id) numbers.push(content.payload.n)
      else if (event === undefined) live.push(content.payload)
    },
  })
  let closed = false
  socket.on('error', () => undefined)
  socket.on('close', () => {
    closed = true
  })
  socket.on('data', (bytes: Buffer) => parser.feed(response.read(bytes)))
  socket.write(
    `GET /notifications/stream HTTP/1.1\r\nHost: ${host}\r\n` +
      `Authorization: Bearer ${await tokenFor(user)}\r\n\r\n`,
  )
  await eventually(() => controls.some(({ type }) => type === 'ready'))
  return {
    socket,
    numbers,
    live,
    controls,
    get closed() {
      return closed
    },
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

/** Publishes numbered notifications of 60 KB. */
const publish = ({ sql }: TestDatabase, from: number, to: number, channel = 'user-42') => sql`
  insert into kairan.notifications (channels, payload)
  select array[${channel}], jsonb_build_object('n', n, 'text', repeat('x', 60000))
  from generate_series(${from}::int, ${to}::int) n`

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)

test('a client that stops reading is told that it lags, and then gets all of it, once', async () => {
  await using db = await database()
  await using service = await serve(db, { QUEUE_BYTES: '200000' })
  using slow = await openSlow(service.url, '42')
  await using other = await openReady(service.url, { token: await tokenFor('43') })
  slow.socket.pause()
  // More than the kernel's buffers hold, and than the queue.
  for (let n = 0; n < 300; n += 50) await publish(db, n + 1, n + 50)
  await eventually(async () => (await db.sql`select from kairan.log where head = 300`).length)
  // Others are not held up by it.
  await publish(db, 1, 1, 'user-43')
  await other.atLeast(1)
  for (let n = 0; n < 60; n++) {
    await db.sql`select pg_notify('kairan', ${JSON.stringify({ channel: 'user-42', payload: { pad: 'x'.repeat(7000) } })})`
  }
  // It waits in the kernel and in the queue; what did not fit is only counted.
  slow.socket.resume()
  await eventually(() => slow.numbers.length >= 300, 60_000)
  await publish(db, 301, 302)
  await eventually(() => slow.numbers.length >= 302)
  expect(slow.numbers).toEqual(upTo(302))
  const lagging = slow.controls.filter(({ type }) => type === 'lagging')
  expect(lagging.length).toBeGreaterThan(0)
  // Every live event has come, or was said to be lost.
  const lost = lagging.reduce((sum, control) => sum + Number(control.lost), 0)
  expect(lost + slow.live.length).toBe(60)
  expect(lost).toBeGreaterThan(0)
})

test('a client that takes nothing for four heartbeats is cut off, and resumes', async () => {
  await using db = await database()
  await using service = await serve(db, { HEARTBEAT_MS: '250' })
  using slow = await openSlow(service.url, '42')
  slow.socket.pause()
  await publish(db, 1, 200)
  await eventually(() => service.service.streams === 0, 30_000)
  slow.socket.resume()
  await eventually(() => slow.closed)
  expect(slow.numbers.length).toBeLessThan(200)

  const [log] = await db.sql`select epoch from kairan.log`
  // Where nobody is cut off for being busy with 12 MB for a second.
  await using patient = await serve(db)
  await using client = await openReady(patient.url, {
    token: await tokenFor('42'),
    lastEventId: `${log?.epoch}-${slow.numbers.length}`,
  })
  await client.atLeast(200 - slow.numbers.length)
  expect([...slow.numbers, ...client.events.map(({ payload }) => payload.n)]).toEqual(upTo(200))
})
