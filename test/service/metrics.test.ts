import { expect, test } from 'bun:test'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

/** The samples of the Prometheus text: name with labels -> value. */
const scrape = async (url: string) => {
  const response = await fetch(`${url}/metrics`)
  const text = await response.text()
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, name, value] = /^([^#\s][^ ]*(?:\{.*\})?) ([^ ]+)$/.exec(line) ?? []
    if (name !== undefined) samples.set(name, Number(value))
  }
  return { response, text, samples }
}

test('counts what happened, with nothing about any user', async () => {
  await using db = await database()
  await using service = await serve(db, { MAX_STREAMS: '2' })
  await using one = await openReady(service.url, { token: await tokenFor('alice') })
  await using two = await openReady(service.url, { token: await tokenFor('bob') })
  await using _refused = await open(service.url, { token: await tokenFor('carol') })
  await using _unknown = await open(service.url, { token: 'nonsense' })
  await db.sql`select kairan.publish('all-users', '{}'), kairan.publish('user-alice', '{}')`
  await db.sql`select pg_notify('kairan', '{"channel": "user-bob", "payload": {}}')`
  await db.sql`select pg_notify('kairan', 'nonsense')`
  await Promise.all([one.atLeast(2), two.atLeast(2)])
  two.close()

  const { samples, text, response } = await eventually(async () => {
    const found = await scrape(service.url)
    const counted = [
      found.samples.get('kairan_streams_ended_total{reason="client"}') === 1,
      found.samples.get('kairan_events_delivered_total') === 4,
      // Nothing else says that it has come.
      found.samples.get('kairan_live_events_total{outcome="refused"}') === 1,
      found.samples.get('kairan_ready') === 1,
    ]
    return counted.every(Boolean) ? found : null
  })
  expect(response.headers.get('content-type')).toStartWith('text/plain; version=0.0.4')
  const expected: [string, number][] = [
    ['kairan_streams', 1],
    ['kairan_users', 1],
    ['kairan_streams_opened_total', 2],
    ['kairan_streams_refused_total{reason="overloaded"}', 2],
    ['kairan_events_dispatched_total', 2],
    ['kairan_live_events_total{outcome="dispatched"}', 1],
    ['kairan_live_events_total{outcome="refused"}', 1],
    ['kairan_delivery_latency_seconds_count', 2],
    ['kairan_listener_up', 1],
    ['kairan_ready', 1],
    ['kairan_log_head', 2],
    ['kairan_statuses_dropped', 0],
  ]
  for (const [name, value] of expected) expect([name, samples.get(name)]).toEqual([name, value])
  expect(samples.get('kairan_pg_notify_queue_usage_ratio')).toBeLessThan(0.5)
  expect(samples.get('process_cpu_seconds_total')).toBeGreaterThan(0)
  // Each name has its help and its type.
  for (const name of samples.keys()) {
    const family = name.replace(/\{.*/, '').replace(/_(bucket|sum|count)$/, '')
    expect(text).toContain(`# HELP ${family} `)
  }
  expect(text).not.toMatch(/alice|bob|carol|user-/)
})

test('a replay counts as delivered, and not as late', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  await using first = await openReady(service.url, { token })
  await db.sql`
    insert into kairan.notifications (channels, payload, created_at)
    values ('{user-42}', '{}', now() - interval '1 hour')`
  await first.atLeast(1)
  await using again = await openReady(service.url, {
    token,
    lastEventId: `${first.controls[0]?.cursor}`,
  })
  await again.atLeast(1)
  const { samples } = await eventually(async () => {
    const found = await scrape(service.url)
    return found.samples.get('kairan_events_delivered_total') === 2 ? found : null
  })
  expect(samples.get('kairan_delivery_latency_seconds_count')).toBe(1)
})

test('is there while the database is not', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql.unsafe(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  )
  await db.sql.unsafe('alter schema kairan rename to away')
  const { samples, response } = await eventually(async () => {
    const found = await scrape(service.url)
    return found.samples.get('kairan_ready') === 0 ? found : null
  })
  expect(response.status).toBe(200)
  expect(samples.get('kairan_streams')).toBe(0)
})

test('every instance says of itself what the dashboard shows', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await db.sql`select kairan.publish('user-42', '{}')`
  await client.atLeast(1)
  const facts = await eventually(async () => {
    const [row] = await db.sql`select facts from kairan.instances`
    return row?.facts.delivered === 1 && row.facts.listening && row.facts
  })
  expect(facts).toMatchObject({ streams: 1, users: 1, dispatched: 1, head: 1, problem: null })
  expect(facts.latency.counts).toHaveLength(facts.latency.bounds.length + 1)
  expect(facts.latency.counts.at(-1)).toBe(1)
})

test('a clock that differs from that of Postgres makes nothing late, and is shown', async () => {
  await using db = await database()
  const { now } = Date
  // This process is an hour ahead.
  Date.now = () => now() + 3_600_000
  try {
    await using service = await serve(db)
    await using client = await openReady(service.url, { token: await tokenFor('42', 10_000) })
    await db.sql`select kairan.publish('user-42', '{}')`
    await client.atLeast(1)
    const { samples } = await eventually(async () => {
      const found = await scrape(service.url)
      return found.samples.get('kairan_delivery_latency_seconds_count') === 1 ? found : null
    })
    expect(samples.get('kairan_delivery_latency_seconds_sum')).toBeLessThan(60)
    // Of the first answer, if that took long, nobody knows when the clock was read: the next one comes 5 s later.
    await eventually(async () => {
      const found = await scrape(service.url)
      const ahead = found.samples.get('kairan_database_clock_ahead_seconds') ?? 0
      return -3601 <= ahead && ahead <= -3599
    })
  } finally {
    Date.now = now
  }
})
