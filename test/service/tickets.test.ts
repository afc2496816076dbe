import { expect, test } from 'bun:test'
import { createTickets } from '../../src/auth/tickets.ts'
import { createTicketStore } from '../../src/auth/tickets-store.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { inTime } from '../support/in-time.ts'
import { serve, tokenFor } from '../support/service.ts'
import { askTicket, ticketFor } from '../support/tickets.ts'

const codeOf = (client: { response: Response; text: string }) => [
  client.response.status,
  client.response.status === 200 ? null : JSON.parse(client.text).code,
]

test('a ticket opens one stream, on any instance, and then none', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const answer = await askTicket(one.url, '42')
  expect(answer.status).toBe(201)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  const { ticket, expiresAt }: { ticket: string; expiresAt: string } = await answer.json()
  expect(Date.parse(expiresAt) - Date.now()).toBeWithin(50_000, 60_001)

  await using client = await openReady(two.url, { query: `?ticket=${ticket}` })
  await db.sql`select kairan.publish('user-42', '{"n": 1}')`
  expect((await client.atLeast(1))[0]?.payload.n).toBe(1)
  for (const { url } of [one, two]) {
    await using again = await open(url, { query: `?ticket=${ticket}` })
    expect(codeOf(again)).toEqual([401, 'ticket_invalid'])
  }
})

test('of many that come with one ticket at once, one is let in', async () => {
  await using db = await database()
  await using service = await serve(db)
  const query = `?ticket=${await ticketFor(service.url, '42')}`
  const clients = await Promise.all(Array.from({ length: 20 }, () => open(service.url, { query })))
  expect(clients.map(({ response }) => response.status).toSorted()).toEqual([
    200,
    ...Array(19).fill(401),
  ])
  for (const client of clients) client.close()
})

test('a spent ticket returns with the proof in its ids, and misses nothing', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  const query = `?ticket=${await ticketFor(one.url, '42')}`
  const publish = (n: number) => db.sql`select kairan.publish('user-42', ${db.sql.json({ n })})`

  const first = await openReady(one.url, { query })
  const ids = new Set<string>()
  await publish(1)
  await first.atLeast(1)
  for (const { id } of first.received) if (id) ids.add(id)
  first.close()
  await publish(2)

  let lastEventId = first.lastEventId ?? ''
  // Twice: the proof is good for as often as the connection is cut.
  for (const [n, { url }] of [two, one].entries()) {
    await using next = await openReady(url, { query, lastEventId })
    expect(next.controls[0]).toMatchObject({ type: 'ready', resumed: true })
    await publish(n + 3)
    const events = await next.atLeast(n === 0 ? 2 : 1)
    expect(events.map(({ payload }) => payload.n)).toEqual(n === 0 ? [2, 3] : [4])
    lastEventId = next.lastEventId ?? ''
    for (const { id } of next.received) if (id) ids.add(id)
  }
  for (const id of ids) expect(id).toMatch(/^[0-9a-z]{1,16}-\d{1,16}-[0-9a-f]{30}$/)
  expect(first.controls[0]?.cursor).toMatch(/^[0-9a-z]+-\d+$/)
})

test('who has only the URL can not return, nor who has seen an id elsewhere', async () => {
  await using db = await database()
  await using service = await serve(db)
  const query = `?ticket=${await ticketFor(service.url, '42')}`
  await using client = await openReady(service.url, { query })
  const lastEventId = client.lastEventId ?? ''
  const cursor = lastEventId.slice(0, -31)
  const proof = lastEventId.slice(-30)
  await using other = await openReady(service.url, {
    query: `?ticket=${await ticketFor(service.url, '43')}`,
  })

  const attempts: [what: string, lastEventId: string, more: string][] = [
    ['nothing', '', ''],
    ['a cursor', cursor, ''],
    ['a made-up proof', `${cursor}-${'0'.repeat(30)}`, ''],
    ['the proof of another stream', other.lastEventId ?? '', ''],
    ['another ticket with this proof', '', `&ticket=${await ticketFor(service.url, '44')}`],
  ]
  for (const [what, id, more] of attempts) {
    await using thief = await open(service.url, {
      query: query + more,
      ...(id ? { lastEventId: id } : {}),
    })
    expect([what, ...codeOf(thief)]).toEqual([what, 401, 'ticket_invalid'])
  }
  await using back = await openReady(service.url, { query, lastEventId: `new-${proof}` })
  expect(back.controls[0]).toMatchObject({ type: 'ready', resumed: false })
})

test('a proof in a URL is worth nothing, and ends its ticket', async () => {
  await using db = await database()
  await using service = await serve(db)
  const query = `?ticket=${await ticketFor(service.url, '42')}`
  const client = await openReady(service.url, { query })
  const lastEventId = client.lastEventId ?? ''
  client.close()
  await db.sql`select kairan.publish('user-42', '{"n": 1}')`

  // As a page does that opens a new EventSource: a new ticket, and where it was.
  const renewed = `?ticket=${await ticketFor(service.url, '42')}&last_event_id=${lastEventId}`
  await using next = await openReady(service.url, { query: renewed })
  expect((await next.atLeast(1))[0]?.payload.n).toBe(1)

  await using thief = await open(service.url, { query, lastEventId })
  expect(codeOf(thief)).toEqual([401, 'ticket_invalid'])
  await using replayed = await open(service.url, { query: `${query}&last_event_id=${lastEventId}` })
  expect(codeOf(replayed)).toEqual([401, 'ticket_invalid'])
})

test('a browser that is cut off before its first id can return', async () => {
  await using db = await database()
  // No stream can be opened while role levels can't be had.
  await using service = await serve(db, {
    ROLE_LEVEL_QUERY: 'select level from gone where id = $1',
  })
  const query = `?ticket=${await ticketFor(service.url, '42')}`
  await using client = await open(service.url, { query })
  expect(await client.control('reconnect')).toMatchObject({ reason: 'unavailable' })
  expect(client.text).toMatch(/^id: new-[0-9a-f]{30}\n\n/)

  await db.sql`create table gone (id text, level int)`
  const [, proof = ''] = /^id: (\S+)/.exec(client.text) ?? []
  await using back = await openReady(service.url, { query, lastEventId: proof })
  expect(back.text).toStartWith('retry: ')
  expect(back.text).toContain(`\n\nid: ${proof}\n\nevent: control\ndata: {"type":"ready"`)
})

test('an EventSource whose stream was cut at once may come without a proof, once', async () => {
  await using db = await database()
  await using service = await serve(db)
  const query = `?ticket=${await ticketFor(service.url, '42')}`
  const headers = { accept: 'text/event-stream' }
  const released = () =>
    eventually(
      async () =>
        (await db.sql`select from kairan.tickets where released_until > now()`).length === 1,
    )
  const first = await openReady(service.url, { query, headers })
  const lastEventId = first.lastEventId ?? ''
  await using thief = await open(service.url, { query, headers })
  expect(codeOf(thief)).toEqual([401, 'ticket_invalid'])
  first.close()
  await released()

  // One that has got the proof returns with it, and from then on nobody comes without.
  const back = await openReady(service.url, { query, headers, lastEventId })
  back.close()
  await eventually(() => service.service.streams === 0)
  await using late = await open(service.url, { query, headers })
  expect(codeOf(late)).toEqual([401, 'ticket_invalid'])

  const other = `?ticket=${await ticketFor(service.url, '42')}`
  for (const _ of [1, 2]) {
    const cut = await openReady(service.url, { query: other, headers })
    cut.close()
    await released()
  }
  await db.sql`update kairan.tickets set released_until = now()`
  await using after = await open(service.url, { query: other, headers })
  expect(codeOf(after)).toEqual([401, 'ticket_invalid'])
})

test('a ticket whose proof was shown is not released by what comes late', async () => {
  await using db = await database()
  const pool = createDatabase(db.url, { max: 1, name: 'tickets test', deadlineMs: 10_000 })
  const tickets = createTickets({ store: createTicketStore(pool), maxStreamAgeMs: 60_000 })
  const expiresAt = Math.floor(Date.now() / 1000) + 60
  const identity = { userId: '42', expiresAt, subscribes: [], publishes: [] }
  const { ticket } = await tickets.issue(identity, null)
  const { proof } = await tickets.redeem(ticket, null)
  await tickets.redeem(ticket, proof)
  await tickets.release(proof)
  await expect(tickets.redeem(ticket, null)).rejects.toThrow('unknown, too old or spent')
  // The proof is as good as before.
  expect(await tickets.redeem(ticket, proof)).toMatchObject({ userId: '42', proof })
  await pool.stop()
})

test('the first block that has data proves a ticket, also of a refusal', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, {
    query: `?ticket=${await ticketFor(service.url, '42')}`,
  })
  expect(client.text).toMatch(
    /^retry: \d+\n\nevent: ping\ndata: connected\nid: new-0-([0-9a-f]{30})\n\nid: new-\1\n\nevent: control\ndata: .*\nid: \w+-0-\1\n\n/,
  )
  await db.sql`drop table kairan.roles cascade`
  const query = `?ticket=${await ticketFor(service.url, '43')}`
  await using refused = await open(service.url, { query })
  await refused.control('reconnect')
  expect(refused.text).toMatch(/\ndata: .*"reason":"unavailable".*\nid: new-0-[0-9a-f]{30}\n\n$/)
})

test('narrows the stream to the channels of the ticket, by the role level of then', async () => {
  await using db = await database()
  await using service = await serve(db)
  const ticketOf = async (...channels: string[]) =>
    `?ticket=${await ticketFor(service.url, '42', { body: { channels } })}`

  await using client = await openReady(service.url, { query: await ticketOf('all-users') })
  await db.sql`select kairan.publish(array['user-42', 'all-users'], '{}')`
  expect((await client.atLeast(1)).map(({ channel }) => channel)).toEqual(['all-users'])

  const cases: [query: string, status: number, code: string | null][] = [
    [`${await ticketOf('all-users', 'user-42')}&channels=user-42`, 200, null],
    [`${await ticketOf('all-users')}&channels=user-42`, 403, 'channel_forbidden'],
    [await ticketOf('admin-dashboard'), 403, 'channel_forbidden'],
    [await ticketOf('user-43'), 403, 'channel_forbidden'],
  ]
  for (const [query, status, code] of cases) {
    await using stream = await open(service.url, { query })
    expect([query, ...codeOf(stream)]).toEqual([query, status, code])
  }
})

test('a stream by ticket ends with the token, and does not return after it', async () => {
  await using db = await database()
  await using service = await serve(db)
  await inTime([2, 6, 12], async seconds => {
    const end = Date.now() + seconds * 1000
    const answer = await askTicket(service.url, '42', { seconds })
    const { ticket, expiresAt }: { ticket: string; expiresAt: string } = await answer.json()
    await using client = await open(service.url, { query: `?ticket=${ticket}` })
    // A token ends at the beginning of a second.
    if (Date.now() > end - 1000) return false
    expect(answer.status).toBe(201)
    expect(Date.parse(expiresAt)).toBeLessThanOrEqual(end)
    await client.control('token_expired')
    await using back = await open(service.url, {
      query: `?ticket=${ticket}`,
      lastEventId: client.lastEventId ?? '',
    })
    expect(codeOf(back)).toEqual([401, 'ticket_invalid'])
    return true
  })
})

test('an old ticket opens nothing, and is removed, a few at a time', async () => {
  await using db = await database()
  await using service = await serve(db, { RETENTION: '90s' })
  const query = `?ticket=${await ticketFor(service.url, '42')}`
  await ticketFor(service.url, '43')
  await db.sql`update kairan.tickets set ends_at = now() where user_id = '42'`
  await using client = await open(service.url, { query })
  expect(codeOf(client)).toEqual([401, 'ticket_invalid'])
  const left = async () =>
    (await db.sql`select user_id from kairan.tickets`).map(row => row.user_id)
  await eventually(async () => !(await left()).includes('42'))
  expect(await left()).toEqual(['43'])
})

test('a link that somebody looks at or follows spends no ticket; it is explained', async () => {
  await using db = await database()
  await using service = await serve(db)
  const query = `?ticket=${await ticketFor(service.url, '42')}`
  const looked = await fetch(`${service.url}/notifications/stream${query}`, { method: 'HEAD' })
  expect(looked.status).toBe(405)
  const page = await fetch(`${service.url}/notifications/stream${query}`, {
    headers: { 'sec-fetch-mode': 'navigate' },
  })
  expect(page.status).toBe(406)
  expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(await page.text()).toContain('This is a stream, not a page')
  await using client = await openReady(service.url, { query })
  expect(client.response.status).toBe(200)
})

test('a ticket goes before the cookie, and a header before the ticket', async () => {
  await using db = await database()
  await using service = await serve(db)
  const query = `?ticket=${await ticketFor(service.url, 'of-the-ticket')}`
  await using byHeader = await open(service.url, { query, token: 'nonsense' })
  expect(codeOf(byHeader)).toEqual([401, 'token_invalid'])
  await using byTicket = await openReady(service.url, {
    query,
    headers: { cookie: `kairan_token=${await tokenFor('of-the-cookie')}` },
  })
  await db.sql`select kairan.publish(array['user-of-the-cookie', 'user-of-the-ticket'], '{}')`
  expect((await byTicket.atLeast(1))[0]?.channel).toBe('user-of-the-ticket')
})

test('neither a log line nor a row has a ticket in it', async () => {
  await using db = await database()
  await using service = await serve(db, {
    ROLE_LEVEL_QUERY: 'select level from gone where id = $1',
  })
  const ticket = await ticketFor(service.url, '42')
  await using client = await open(service.url, { query: `?ticket=${ticket}` })
  await client.control('reconnect')
  const [, proof = ''] = /^id: new-(\S+)/.exec(client.text) ?? []
  await db.sql`alter table kairan.tickets rename to taken_away`
  await using failed = await open(service.url, { query: `?ticket=${ticket}` })
  expect(await failed.control('reconnect')).toMatchObject({ reason: 'unavailable' })
  expect((await askTicket(service.url, '42')).status).toBe(500)

  const [row] = await db.sql`select t::text as text from kairan.taken_away t`
  const said = JSON.stringify([service.logs, row])
  expect(service.logs.filter(({ level }) => level !== 'info').length).toBeGreaterThan(2)
  for (const secret of [ticket, proof, Buffer.from(ticket).toString('hex')]) {
    expect(secret.length).toBeGreaterThan(29)
    expect(said).not.toContain(secret)
  }
})

test('gives a user no more than 60 tickets at once', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  const ask = () =>
    fetch(`${service.url}/notifications/tickets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    })
  const answers = await Promise.all(Array.from({ length: 80 }, ask))
  const given = answers.filter(({ status }) => status === 201).length
  expect(given).toBeWithin(60, 65)
  const refused = answers.find(({ status }) => status === 429)
  expect(refused?.headers.get('retry-after')).toBe('1')
  expect((await askTicket(service.url, '43')).status).toBe(201)
})
