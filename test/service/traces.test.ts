import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { type Collector, collector } from '../support/collector.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { metricOf } from '../support/metric.ts'
import { publish } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'
const sampled = `00-${traceId}-${parentId}-01`

const named = ({ spans }: Collector, name: string) => spans.filter(span => span.name === name)
const attributesOf = (
  span: { attributes: { key: string; value: { stringValue?: string } }[] } | undefined,
) => Object.fromEntries(span?.attributes.map(({ key, value }) => [key, value.stringValue]) ?? [])

test('a trace goes on from the request that publishes to the stream, on each instance', async () => {
  await using db = await database()
  await using otlp = collector()
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url, OTEL_SERVICE_NAME: 'notify' }
  await using one = await serve(db, env)
  await using two = await serve(db, env)
  const token = await tokenFor('alice')
  await using a = await openReady(one.url, { token })
  await using b = await openReady(two.url, { token })
  const body = { channel: 'user-alice', payload: {}, type: 'order.shipped' }
  const response = await publish(one.url, body, { headers: { traceparent: sampled } })
  const { id } = await response.json()
  await Promise.all([a.atLeast(1), b.atLeast(1)])

  await eventually(() => otlp.spans.length === 5)
  const [published] = named(otlp, 'kairan.publish')
  expect(published).toMatchObject({ traceId, parentSpanId: parentId, service: 'notify' })
  const dispatched = named(otlp, 'kairan.dispatch')
  const delivered = named(otlp, 'kairan.deliver')
  expect(dispatched.map(span => span.parentSpanId)).toEqual(
    [published?.spanId, published?.spanId].map(String),
  )
  expect(new Set(delivered.map(span => span.parentSpanId))).toEqual(
    new Set(dispatched.map(span => span.spanId)),
  )
  for (const span of otlp.spans) {
    expect(span.traceId).toBe(traceId)
    // A second, not an hour.
    expect(Number(span.endTimeUnixNano) - Number(span.startTimeUnixNano)).toBeLessThan(20e9)
  }
  expect(attributesOf(dispatched[0])).toMatchObject({
    'messaging.destination.template': 'user-{id}',
    'messaging.message.id': id,
    'kairan.type': 'order.shipped',
  })
  expect(JSON.stringify(otlp.spans)).not.toContain('alice')
})

test('a trace goes on from SQL, as a column or as a setting of the transaction', async () => {
  await using db = await database()
  await using otlp = collector()
  await using service = await serve(db, { OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url })
  await using client = await openReady(service.url, { token: await tokenFor('42') })
  await db.sql.begin(async sql => {
    await sql`select set_config('kairan.traceparent', ${sampled}, true)`
    await sql`select kairan.publish('user-42', '{}')`
  })
  await db.sql`
    insert into kairan.notifications (channels, payload, traceparent) values ('{user-42}', '{}', ${sampled})`
  // Not sampled, none, and none at all: nothing is sent of these.
  for (const traceparent of [sampled.replace(/1$/, '0'), 'nonsense', null]) {
    await db.sql`
      insert into kairan.notifications (channels, payload, traceparent) values ('{user-42}', '{}', ${traceparent})`
  }
  await client.atLeast(5)
  await service.service.stop()
  expect(named(otlp, 'kairan.dispatch').map(span => span.parentSpanId)).toEqual([
    parentId,
    parentId,
  ])
  expect(named(otlp, 'kairan.deliver')).toHaveLength(2)
  expect(otlp.spans).toHaveLength(4)
})

test('without an endpoint the trace is carried along, and nothing is sent', async () => {
  await using db = await database()
  await using service = await serve(db)
  for (const traceparent of [sampled, 'nonsense']) {
    const body = { channel: 'user-42', payload: {} }
    expect((await publish(service.url, body, { headers: { traceparent } })).status).toBe(201)
  }
  await publish(service.url, { channel: 'user-42', payload: {} })
  const rows = await db.sql`select traceparent from kairan.notifications order by place`
  expect(rows.map(row => row.traceparent)).toEqual([sampled, null, null])
})

test('a collector that is away, or refuses, disturbs nobody', async () => {
  await using db = await database()
  await using otlp = collector()
  otlp.status = 500
  await using refused = await serve(db, { OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url })
  await using away = await serve(db, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' })
  const token = await tokenFor('42')
  await using a = await openReady(refused.url, { token })
  await using b = await openReady(away.url, { token })
  for (let n = 1; n <= 3; n++) {
    const body = { channel: 'user-42', payload: { n } }
    expect((await publish(away.url, body, { headers: { traceparent: sampled } })).status).toBe(201)
    await Promise.all([a.atLeast(n), b.atLeast(n)])
  }
  await eventually(() => otlp.asked > 0)
  expect([...refused.logs, ...away.logs].filter(({ level }) => level === 'error')).toEqual([])
})

test('OTEL_EXPORTER_OTLP_HEADERS, which OpenTelemetry reads itself, brings the key of a collector', async () => {
  await using db = await database()
  await using otlp = collector()
  process.env.OTEL_EXPORTER_OTLP_HEADERS = 'authorization=Bearer%20abc,x-team=web'
  try {
    await using service = await serve(db, { OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url })
    const headers = { traceparent: sampled }
    await publish(service.url, { channel: 'user-1', payload: {} }, { headers })
    await eventually(() => otlp.spans.length > 0)
    expect(otlp.headers.get('authorization')).toBe('Bearer abc')
    expect(otlp.headers.get('x-team')).toBe('web')
  } finally {
    delete process.env.OTEL_EXPORTER_OTLP_HEADERS
  }
})

test('traces that can not be sent are counted, and said once', async () => {
  await using db = await database()
  await using otlp = collector()
  // Not one of those that OpenTelemetry tries again.
  otlp.status = 400
  await using service = await serve(db, { OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url })
  const lost = () => metricOf(service, 'kairan_trace_spans_lost_total')
  const said = () =>
    service.logs.map(({ sentence }) => sentence).filter(text => /^Traces/.test(text))
  const trace = () =>
    publish(service.url, { channel: 'user-42', payload: {} }, { headers: { traceparent: sampled } })
  expect(await lost()).toBe(0)
  await trace()
  // Published and dispatched.
  await eventually(async () => (await lost()) === 2)
  await trace()
  await eventually(async () => (await lost()) === 4)
  expect(said()).toEqual(['Traces cannot be sent, and are lost.'])
  otlp.status = 200
  await trace()
  await eventually(() => said().length === 2)
  expect(service.logs.filter(({ sentence }) => /^Traces/.test(sentence)).at(-1)).toMatchObject({
    facts: { lost: 4 },
    sentence: 'Traces are sent again.',
  })
  expect(await lost()).toBe(4)
})
