/**
 * Anything at all, over HTTP and by NOTIFY: the service stays up and ready, and answers with a problem or
 * what was asked for, never with 500. `FUZZ_SECONDS` says for how long (5, in CI 20), FUZZ_SEED repeats a run.
 */
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { metricOf } from '../support/metric.ts'
import { publisherToken } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

const { CI, FUZZ_SECONDS, FUZZ_SEED } = process.env
const seconds = Number(FUZZ_SECONDS) || (CI ? 20 : 5)
const seed = Number(FUZZ_SEED) || Math.floor(Math.random() * 2 ** 31)

const rules = {
  seed,
  numRuns: Number.MAX_SAFE_INTEGER,
  interruptAfterTimeLimit: (seconds * 1000) / 2,
  endOnFailure: true,
}

/** What can stand in a header: no line ends, and nothing beyond latin1. */
const headerText = fc
  .string({
    unit: fc.integer({ min: 0x20, max: 0xff }).map(code => String.fromCharCode(code)),
    maxLength: 300,
  })
  .map(text => text.replace(/[\u007f]/g, '').trim())

const path = fc.oneof(
  fc.constantFrom(
    '/notifications',
    '/notifications/stream',
    '/notifications/tickets',
    '/notifications/read',
    '/notifications/receipts',
    '/livez',
    '/readyz',
    '/',
  ),
  fc.uuid().map(id => `/notifications/stream/${id}/token`),
  fc.webPath(),
  fc.string({ maxLength: 50 }).map(text => `/${encodeURIComponent(text.toWellFormed())}`),
)

const query = fc.dictionary(
  fc.oneof(
    fc.constantFrom(
      'channels',
      'last_event_id',
      'lastEventId',
      'ticket',
      'limit',
      'before',
      'type',
      'unread',
    ),
    fc.string({ maxLength: 10 }),
  ),
  fc.oneof(
    fc.constantFrom(
      'all-users',
      'user-1',
      'admin-dashboard',
      '0-0',
      'new-'.padEnd(34, '0'),
      '-1',
      '1e9',
    ),
    fc.string({ unit: 'binary', maxLength: 100 }),
  ),
  { maxKeys: 4 },
)

const body = fc.oneof(
  fc.constant(undefined),
  fc.json({ maxDepth: 4 }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.uint8Array({ maxLength: 300 }),
  // Almost right, so that it comes further.
  fc
    .record(
      {
        channel: fc.oneof(fc.constantFrom('user-1', 'all-users'), fc.string({ unit: 'binary' })),
        channels: fc.array(fc.string({ unit: 'binary' }), { maxLength: 3 }),
        payload: fc.oneof(
          fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()),
          fc.jsonValue(),
        ),
        type: fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue()),
        dedupeKey: fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue()),
        expiresAt: fc.oneof(
          fc.date({ noInvalidDate: true }).map(date => date.toISOString()),
          fc.jsonValue(),
        ),
        notifications: fc.array(fc.jsonValue(), { maxLength: 3 }),
        ids: fc.array(fc.oneof(fc.uuid(), fc.jsonValue()), { maxLength: 3 }),
        upTo: fc.oneof(fc.string(), fc.jsonValue()),
        all: fc.jsonValue(),
        read: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    .map(value => JSON.stringify(value)),
)

test(
  `answers whatever is asked (FUZZ_SEED=${seed})`,
  async () => {
    await using db = await database()
    await using service = await serve(db, { PUBLISH_RATE: '1000000' })
    const tokens = [await tokenFor('1'), await publisherToken(), 'nonsense', null]
    const request = fc.record({
      method: fc.constantFrom('GET', 'POST', 'HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'),
      path,
      query,
      body,
      token: fc.constantFrom(...tokens),
      contentType: fc.oneof(
        fc.constantFrom('application/json', 'application/x-www-form-urlencoded', 'text/plain'),
        headerText,
      ),
      headers: fc.dictionary(
        fc.constantFrom(
          'last-event-id',
          'idempotency-key',
          'origin',
          'cookie',
          'sec-fetch-site',
          'sec-fetch-mode',
          'x-forwarded-for',
          'authorization',
          'accept',
          'if-none-match',
        ),
        headerText,
        { maxKeys: 3 },
      ),
    })
    await fc.assert(
      fc.asyncProperty(request, async asked => {
        const url = `${service.url}${asked.path}?${new URLSearchParams(asked.query)}`
        const headers = new Headers({ 'content-type': asked.contentType, ...asked.headers })
        if (asked.token !== null) headers.set('authorization', `Bearer ${asked.token}`)
        const abort = new AbortController()
        const hasBody = asked.method !== 'GET' && asked.method !== 'HEAD'
        const ask = () =>
          fetch(url, {
            method: asked.method,
            headers,
            signal: abort.signal,
            redirect: 'manual',
            body: hasBody ? (asked.body ?? null) : null,
          })
        let answer = await ask()
        // A server of databases that pauses for some seconds is away, and who comes is asked to return.
        for (let left = 3; answer.status === 503 && left > 0; left--) {
          await answer.arrayBuffer()
          answer = await ask()
        }
        expect(answer.status).toBeLessThan(500)
        const type = answer.headers.get('content-type') ?? ''
        if (type.startsWith('text/event-stream')) return abort.abort()
        const text = await answer.text()
        if (answer.status >= 400 && asked.method !== 'HEAD') {
          expect(type).toBe('application/problem+json')
          expect(JSON.parse(text)).toMatchObject({
            status: answer.status,
            code: expect.any(String),
          })
        }
      }),
      rules,
    )
    expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
    await eventually(async () => (await fetch(`${service.url}/readyz`)).ok)
    await eventually(() => service.service.streams === 0)
  },
  (seconds + 60) * 1000,
)

test(
  `hears whatever is sent by NOTIFY (FUZZ_SEED=${seed})`,
  async () => {
    await using db = await database()
    await using service = await serve(db)
    const token = await tokenFor('1')
    await using client = await openReady(service.url, { token })
    const text = fc.string({ unit: 'binary', maxLength: 500 }).map(toStorable)
    const value = fc.jsonValue({ maxDepth: 3 })
    const message = fc.record(
      {
        channel: fc.oneof(fc.constantFrom('user-1', 'user-2', 'admin-dashboard'), text, value),
        payload: fc.oneof(fc.dictionary(text, value, { maxKeys: 5 }), value),
        notificationId: fc.oneof(fc.uuid(), text, value),
        type: fc.oneof(text, value),
        action: fc.oneof(fc.constantFrom('reauthorize', 'extend', 'replace', 'inbox'), value),
        userId: fc.oneof(fc.constantFrom('2', '3'), text, value),
        streamId: fc.oneof(fc.uuid(), value),
        expiresAt: fc.oneof(fc.double(), value),
        id: fc.oneof(fc.integer({ min: 1_000_000 }), value),
      },
      { requiredKeys: [] },
    )
    const payload = fc.oneof(
      text,
      message.map(sent => toStorable(JSON.stringify(sent))),
      value.map(sent => toStorable(JSON.stringify(sent))),
    )
    const channel = fc.constantFrom('kairan', 'kairan_users', 'kairan_log', 'kairan_probe')
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(channel, payload), { maxLength: 10 }), async sent => {
        for (const [name, content] of sent) {
          if (Buffer.byteLength(content) < 8000) await db.sql`select pg_notify(${name}, ${content})`
        }
      }),
      rules,
    )
    // It has neither stopped for a moment, nor swallowed what was wrong.
    const said = (begin: string) =>
      service.logs.filter(({ sentence }) => sentence.startsWith(begin))
    expect(said('LISTEN')).toEqual([])
    const refused = () => metricOf(service, 'kairan_live_events_total{outcome="refused"}')
    const before = await refused()
    await db.sql`select pg_notify('kairan', '{')`
    await eventually(async () => (await refused()) > before)
    // The log says so, but not for each: anybody can send one.
    expect(said('A live event was refused: ')).not.toBeEmpty()
    // It hears and delivers as before.
    await db.sql`select pg_notify('kairan', '{"channel": "user-1", "payload": {"last": "live"}}')`
    await db.sql`select kairan.publish('user-1', '{"last": "stored"}')`
    await eventually(() => client.events.filter(({ payload }) => 'last' in payload).length === 2)
    expect(client.events.every(({ channel }) => ['user-1', 'all-users'].includes(channel))).toBe(
      true,
    )
    expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200)
    await using again = await open(service.url, { token })
    expect(again.response.status).toBe(200)
  },
  (seconds + 60) * 1000,
)

/** Postgres takes no NUL and no half of a surrogate pair. */
const toStorable = (text: string) => text.toWellFormed().replaceAll('\0', '')
