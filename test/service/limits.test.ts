import { expect, test } from 'bun:test'
import { type Client, open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { answerOf } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'
import { ticketFor } from '../support/tickets.ts'

const reconnectReason = async (client: Client) => (await client.control('reconnect')).reason

test('beyond MAX_STREAMS who comes is sent away for a while, until there is a place', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_STREAMS: '2' })
  const token = await tokenFor('42')
  await using first = await openReady(service.url, { token })
  await using second = await openReady(service.url, { token })
  const ticket = await ticketFor(service.url, '43')

  await using third = await open(service.url, { query: `?ticket=${ticket}` })
  expect(third.response.status).toBe(200)
  expect(await reconnectReason(third)).toBe('overloaded')
  await eventually(() => third.ended)
  expect(third.text).toMatch(/^retry: \d+\n/)
  const refused = service.logs.filter(({ sentence }) => sentence.startsWith('Streams are refused'))
  expect(refused.map(({ facts }) => facts)).toEqual([
    { reason: 'overloaded', since: { overloaded: 1 } },
  ])

  first.close()
  await eventually(() => service.service.streams === 1)
  // The refusal spent no ticket.
  await using again = await openReady(service.url, { query: `?ticket=${ticket}` })
  await db.sql`select kairan.publish('all-users', '{}')`
  await Promise.all([second, again].map(client => client.atLeast(1)))
})

test('who is not let in takes no place', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_STREAMS: '1' })
  const token = await tokenFor('42')
  for (let n = 0; n < 5; n++) {
    await using client = await open(service.url, { token: 'nonsense' })
    expect(client.response.status).toBe(401)
    await using narrowed = await open(service.url, { token, query: '?channels=user-1' })
    expect(narrowed.response.status).toBe(403)
  }
  await using client = await openReady(service.url, { token })
  expect(client.ended).toBe(false)
})

test('of too many streams of a user the oldest is replaced, on whichever instance it is', async () => {
  await using db = await database()
  await using one = await serve(db, { MAX_STREAMS_PER_USER: '2' })
  await using two = await serve(db, { MAX_STREAMS_PER_USER: '2' })
  const token = await tokenFor('42')
  await using bystander = await openReady(one.url, { token: await tokenFor('43') })
  await using first = await openReady(one.url, { token })
  await using second = await openReady(one.url, { token })
  // On one instance it is known at once.
  await using third = await openReady(one.url, { token })
  await first.control('replaced')
  await eventually(() => first.ended)
  expect(first.text).toMatch(/retry: \d{5,}\n\nevent: control\ndata: \{"type":"replaced"\}/)

  // The other hears of it in a moment.
  await eventually(async () => (await streamsOf(db, '42')) === 2)
  await using fourth = await openReady(two.url, { token })
  await second.control('replaced')
  await db.sql`select kairan.publish('all-users', '{}')`
  for (const client of [bystander, third, fourth]) {
    await client.atLeast(1)
    expect(client.ended).toBe(false)
  }
})

test('beyond MAX_STREAMS_PER_ADDRESS one address is sent away, as the proxies before say', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_STREAMS_PER_ADDRESS: '1', TRUSTED_PROXIES: '1' })
  const token = await tokenFor('42')
  const from = (address: string) => ({ token, headers: { 'x-forwarded-for': address } })
  await using a = await openReady(service.url, from('203.0.113.7'))
  await using b = await openReady(service.url, from('203.0.113.8'))
  // What the client itself wrote stands further left, and does not count.
  await using again = await open(service.url, from('198.51.100.1, 203.0.113.7'))
  expect(await reconnectReason(again)).toBe('address')
  await using six = await openReady(service.url, from('2001:db8:0:1::1'))
  await using neighbour = await open(service.url, from('2001:db8::1:0:0:0:2'))
  expect(await reconnectReason(neighbour)).toBe('address')
  a.close()
  await eventually(() => service.service.streams === 2)
  await using back = await openReady(service.url, from('203.0.113.7'))
  for (const client of [b, six, back]) expect(client.ended).toBe(false)
})

test('refuses a URL that is too long, and headers that are', async () => {
  await using db = await database()
  await using service = await serve(db)
  const long = fetch(`${service.url}/notifications/stream?channels=${'x'.repeat(9000)}`)
  expect(await answerOf(long)).toMatchObject({ status: 414, code: 'url_too_long' })
  const headers = { 'x-long': 'x'.repeat(20_000) }
  expect((await fetch(`${service.url}/livez`, { headers })).status).toBe(431)
})

const streamsOf = async ({ sql }: Awaited<ReturnType<typeof database>>, user: string) => {
  const [row] = await sql<{ streams: number }[]>`
    select streams from kairan.presence where user_id = ${user}`
  return row?.streams ?? 0
}
