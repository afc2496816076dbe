import { expect, test } from 'bun:test'
import { limits } from '../../src/lib/limits.ts'
import { parseLive } from '../../src/publish/live-event.ts'
import { makeAdmin } from '../support/admin.ts'
import { type Border, bordersOf, percentEncode } from '../support/borders.ts'
import { openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { description } from '../support/description.ts'
import { eventually } from '../support/eventually.ts'
import { answerOf, publish, publisherToken, tokenWith } from '../support/publish.ts'
import { serve, type TestService, tokenFor } from '../support/service.ts'

/** What a parser said of a value: null when it accepted the value, else the reason that it gave. */
type Verdict = string | null
type Doors = Record<string, (value: string) => Promise<Verdict>>

/** The largest number for which an SQL expression publishes something. */
const largest = async ({ sql }: TestDatabase, expression: string) => {
  const [row] = await sql.unsafe(
    `select max(n)::int as n from generate_series(1, 1100) n where ${expression} is not null`,
  )
  return row?.n
}

test('SQL, TypeScript and the API description have the same limits', async () => {
  await using db = await database()
  await using _service = await serve(db)
  const x = `repeat('x', n)`
  expect({
    channel: await largest(db, `kairan.try_publish(${x}, '{}')`),
    userId: await largest(db, `kairan.try_publish('user-' || ${x}, '{}')`),
    type: await largest(db, `kairan.try_publish('user-1', '{}', ${x})`),
    dedupeKey: await largest(db, `kairan.try_publish('user-1', '{}', null, ${x})`),
    channels: await largest(
      db,
      `case when n > 990 then
         kairan.try_publish(array(select 'user-' || i from generate_series(1, n) i), '{}') end`,
    ),
  }).toEqual({
    channel: limits.channel,
    userId: limits.userId,
    type: limits.type,
    dedupeKey: limits.dedupeKey,
    channels: limits.channels,
  })

  const schemas = JSON.parse(JSON.stringify(description().components.schemas))
  expect(schemas.Channel.maxLength).toBe(limits.channel)
  const [, { properties }] = schemas.Publication.anyOf
  expect(properties.type.anyOf[0].maxLength).toBe(limits.type)
  expect(properties.dedupeKey.anyOf[0].maxLength).toBe(limits.dedupeKey)
  expect(properties.channels.maxItems).toBe(limits.channels)
})

test('a type is accepted or refused by every parser alike', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  await using live = await livePath(db, service)
  const doors: Doors = {
    ...(await publishingDoors(db, service, type => ({ type }))),
    live: type => live({ type }),
    'inbox filter': type => asked(service, `/notifications?type=${percentEncode(type)}`),
    'admin filter': type => asked(service, `/admin/deliveries?type=${percentEncode(type)}`),
    'redelivery filter': type => sent(service, '/admin/redeliver', { type, channel: 'user-9' }),
  }
  await compare(doors, bordersOf(limits.type))
})

test('a dedupeKey is accepted or refused by every parser alike', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await publisherToken()
  const doors: Doors = {
    ...(await publishingDoors(db, service, dedupeKey => ({ dedupeKey }))),
  }
  await compare(doors, bordersOf(limits.dedupeKey))

  const header = async (key: string) =>
    verdictOf(
      publish(
        service.url,
        { channel: 'user-1', payload: {} },
        { token, headers: { 'idempotency-key': key } },
      ),
    )
  expect(await header('x'.repeat(limits.dedupeKey))).toBeNull()
  expect(await header('x'.repeat(limits.dedupeKey + 1))).toContain('201 characters')
})

test("a user's id is accepted or refused by every parser alike", async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  await using live = await livePath(db, service)
  const doors: Doors = {
    ...(await publishingDoors(db, service, id => ({ channel: `user-${id}` }))),
    live: id => live({ channel: `user-${id}` }),
    token: async sub =>
      verdictOf(
        fetch(`${service.url}/notifications`, {
          headers: { authorization: `Bearer ${await tokenWith({ sub })}` },
        }),
      ),
    ticket: id => sent(service, '/notifications/tickets', { channels: [`user-${id}`] }),
    'channel filter': id => asked(service, `/admin/deliveries?channel=user-${percentEncode(id)}`),
    'user filter': id => asked(service, `/admin/streams?user=${percentEncode(id)}`),
    disconnect: userId => sent(service, '/admin/disconnect', { userId }),
  }
  // A comma separates channels in forms and queries.
  const separators = [' ', '\t', '\u007f'].map(separator => ({
    what: `a user id with ${JSON.stringify(separator)}`,
    value: `a${separator}b`,
    isValid: false,
  }))
  await compare(doors, [...bordersOf(limits.userId), ...separators])
})

test('a name of a channel is accepted or refused by every parser alike', async () => {
  await using db = await database()
  await using service = await serve(db)
  await makeAdmin(db)
  await using live = await livePath(db, service)
  await using stream = await openReady(service.url, { token: await tokenFor('boss') })
  const changes = `/notifications/stream/${stream.controls[0]?.streamId}/channels`
  const doors: Doors = {
    ...(await publishingDoors(db, service, channel => ({ channel }))),
    live: channel => live({ channel }),
    members: channel =>
      refusalOf(
        db.sql`
          insert into kairan.members (channel, user_id)
          select m ->> 'channel', '1' from (select ${JSON.stringify({ channel })}::text::jsonb as m) given`,
      ),
    ticket: channel => sent(service, '/notifications/tickets', { channels: [channel] }),
    'change of a stream': channel => sent(service, changes, { remove: [channel] }),
    'channel filter': channel =>
      asked(service, `/admin/deliveries?channel=${percentEncode(channel)}`),
    'presence filter': channel =>
      asked(service, `/admin/presence?channel=${percentEncode(channel)}`),
  }
  const others = [
    ...['org-7', 'order:42', 'https://example.com/books/1?a=b#c', 'User-1', 'user', '%', '_'].map(
      name => ({ what: name, value: name, isValid: true }),
    ),
    ...[' ', ',', '*', '\t', '\n', '\u007f', '\u001f'].map(character => ({
      what: `a name with ${JSON.stringify(character)}`,
      value: `a${character}b`,
      isValid: false,
    })),
    { what: 'user- without an id', value: 'user-', isValid: false },
  ]
  await compare(doors, [...bordersOf(limits.channel), ...others])
})

test('a number of channels is accepted or refused by every parser alike', async () => {
  await using db = await database()
  await using service = await serve(db)
  const names = (count: string) => Array.from({ length: Number(count) }, (_, n) => `user-${n}`)
  const doors = await publishingDoors(db, service, count => ({ channels: names(count) }))
  for (const [count, isValid] of [
    [1, true],
    [limits.channels, true],
    [limits.channels + 1, false],
  ] as const) {
    for (const [door, ask] of Object.entries(doors)) {
      const verdict = await ask(String(count))
      expect([door, count, verdict === null]).toEqual([door, count, isValid])
      if (verdict !== null)
        expect(verdict).toContain(`1 to ${limits.channels} channels, not ${count}`)
    }
  }
})

/** Every door has to say the same of every value; one that refuses says why, with the value. */
const compare = async (doors: Doors, borders: Border[]) => {
  for (const { what, value, isValid } of borders) {
    for (const [door, ask] of Object.entries(doors)) {
      const verdict = await ask(value)
      expect([door, what, verdict === null]).toEqual([door, what, isValid])
      // The value, raw or escaped, or at least the character in it that is the reason.
      if (verdict !== null && door !== 'token') {
        expect([door, what, verdict]).toEqual([door, what, expect.stringMatching(partOf(value))])
      }
    }
  }
}

const partOf = (value: string) =>
  /\0/.test(value) || !value.isWellFormed()
    ? /U\+0000|\\u0000|%00|surrogate|\\ud800|\\udc00|%ED%|[Uu]nicode/
    : new RegExp(
        [...value]
          .slice(0, 5)
          .join('')
          .replace(/\s|\p{Cc}/gu, '.{1,6}'),
        'us',
      )

type Members = { type?: string; dedupeKey?: string; channel?: string; channels?: string[] }

/** The doors to publish by: SQL, JSON, a form and a batch. */
const publishingDoors = async (
  { sql }: TestDatabase,
  { url }: TestService,
  membersOf: (value: string) => Members,
): Promise<Doors> => {
  const token = await publisherToken()
  const full = (value: string) => {
    const members = membersOf(value)
    return { ...(members.channels ? {} : { channel: 'user-1' }), ...members, payload: {} }
  }
  return {
    SQL(value) {
      // As JSON, which is how half of a surrogate pair can get to the server at all.
      const json = JSON.stringify(full(value))
      return refusalOf(
        sql`
          select kairan.publish(
            array(select jsonb_array_elements_text(coalesce(m -> 'channels', jsonb_build_array(m -> 'channel')))),
            '{}', m ->> 'type', m ->> 'dedupeKey'
          ) from (select ${json}::text::jsonb as m) given`,
      )
    },
    JSON: value => verdictOf(publish(url, full(value), { token })),
    async batch(value) {
      const answer = await publish(url, { notifications: [full(value)] }, { token })
      const { results } = await answer.json()
      return results[0].status < 300 ? null : `${results[0].detail}`
    },
    form(value) {
      const { payload: _, channels = [], ...members } = full(value)
      const fields = [
        ...Object.entries(members).map(([name, text]) => `${name}=${percentEncode(`${text}`)}`),
        ...channels.map(name => `channel=${name}`),
        'payload={}',
      ]
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      return verdictOf(publish(url, fields.join('&'), { token, headers }))
    },
  }
}

/** The door of the live path: what it refuses is counted, and now and then in the log; the reason is its parser's. */
const livePath = async ({ sql }: TestDatabase, { url }: TestService) => {
  const stream = await openReady(url, { token: await tokenFor('live') })
  let count = 0
  const refused = async () => {
    const metrics = await (await fetch(`${url}/metrics`)).text()
    return /live_events_total\{outcome="refused".*\} (\d+)/.exec(metrics)?.[1]
  }
  const ask = async (members: Members): Promise<Verdict> => {
    const before = await refused()
    const message = { channel: 'user-live', payload: {}, ...members }
    await sql`select pg_notify('kairan', ${JSON.stringify(message)})`
    // NOTIFYs arrive in the order in which they were sent, so this one comes after the verdict.
    const end = { channel: 'user-live', payload: { end: ++count } }
    await sql`select pg_notify('kairan', ${JSON.stringify(end)})`
    await eventually(() => stream.events.some(({ payload }) => payload.end === count))
    if ((await refused()) === before) return null
    const read = parseLive(JSON.stringify(message), new Date())
    return 'reason' in read ? read.reason : 'refused without a reason'
  }
  return Object.assign(ask, { [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose]() })
}

/** What Postgres said against a statement. */
const refusalOf = async (statement: PromiseLike<unknown>): Promise<Verdict> => {
  try {
    await statement
    return null
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const { message, detail = '', hint = '' } = error as Error & Record<string, string>
    return [message, detail, hint].join(' ')
  }
}

const asked = async ({ url }: TestService, path: string) =>
  verdictOf(fetch(url + path, { headers: { authorization: `Bearer ${await tokenFor('boss')}` } }))

const sent = async ({ url }: TestService, path: string, body: object) =>
  verdictOf(
    fetch(url + path, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await tokenFor('boss')}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    }),
  )

const verdictOf = async (response: Promise<Response>): Promise<Verdict> => {
  const { status, detail } = await answerOf(response)
  if (status >= 500) throw new Error(`Answered ${status}: ${detail}`)
  return status < 300 ? null : `${detail}`
}
