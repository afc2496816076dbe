import { expect, test } from 'bun:test'
import { connect } from '@nats-io/transport-node'
import { startLiar } from '../faults/liar.ts'
import { createRandom } from '../faults/random.ts'
import { open } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { metricOf } from '../support/metric.ts'
import { nats } from '../support/nats.ts'
import { serve, type TestService, tokenFor } from '../support/service.ts'

/** Two instances with this relay, the one that numbers first, when messages arrive at both. */
const pair = async (db: { url: string }, relayUrl: string) => {
  await using stack = new AsyncDisposableStack()
  const one = stack.use(await serve(db, { RELAY_URL: relayUrl }))
  const two = stack.use(await serve(db, { RELAY_URL: relayUrl }))
  await eventually(() => both([one, two], hasRelay))
  const isFirst = (await metricOf(one, 'kairan_leading')) === 1
  const owned = stack.move()
  const [leader, follower] = isFirst ? [one, two] : [two, one]
  return { leader, follower, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const both = async (services: TestService[], check: (one: TestService) => Promise<boolean>) =>
  (await Promise.all(services.map(check))).every(Boolean)

const hasRelay = async (one: TestService) => (await metricOf(one, 'kairan_relay_up')) === 1

/** How many events have come over the relay. After a pause of seconds it may be the other one that numbers. */
const receivedByRelay = async ({
  leader,
  follower,
}: Record<'leader' | 'follower', TestService>) => {
  const name = 'kairan_events_received_total{from="relay"}'
  return (await metricOf(leader, name)) + (await metricOf(follower, name))
}

const messages = (one: TestService, outcome: string) =>
  metricOf(one, `kairan_relay_messages_total{outcome="${outcome}"}`)

const readyz = async ({ url }: TestService) => {
  const response = await fetch(`${url}/readyz`)
  const { notes }: { notes?: string[] } = await response.json()
  return { status: response.status, notes }
}

test('events reach the other instance over NATS, where nobody can read them', async () => {
  await using db = await database()
  await using server = await nats()
  const overheard: string[] = []
  const spy = await connect({ servers: server.url })
  spy.subscribe('>', {
    callback: (_, { subject, data }) =>
      void overheard.push(`${subject} ${Buffer.from(data).toString('latin1')}`),
  })
  await using instances = await pair(db, server.url)
  const { leader, follower } = instances
  await using near = await open(leader.url, { token: await tokenFor('1') })
  await using far = await open(follower.url, { token: await tokenFor('1') })
  await near.control('ready')
  await far.control('ready')
  for (let n = 0; n < 20; n++) {
    await db.sql`select kairan.publish('user-1', ${db.sql.json({ n, word: 'xylophone' })})`
    await far.atLeast(n + 1)
  }
  await near.atLeast(20)
  expect(far.events.map(({ payload }) => payload.n)).toEqual(near.events.map(e => e.payload.n))
  expect(await receivedByRelay(instances)).toBeGreaterThan(10)
  await eventually(() => overheard.length > 10)
  expect(overheard.join()).not.toMatch(/xylophone|user-1|epoch/)
  expect(new Set(overheard.map(text => text.split(' ')[0])).size).toBe(1)
  await spy.close()
})

test('while NATS is away every instance is ready and everything arrives, and then over NATS again', async () => {
  await using db = await database()
  await using server = await nats()
  await using instances = await pair(db, server.url.replace('//', '//kairan:geheim@'))
  const { leader, follower } = instances
  await using far = await open(follower.url, { token: await tokenFor('1') })
  await far.control('ready')
  expect((await readyz(follower)).notes).toBeUndefined()
  await server.kill()
  await eventually(() => both([leader, follower], async one => !(await hasRelay(one))))
  for (let n = 1; n <= 3; n++) {
    await db.sql`select kairan.publish('user-1', '{}')`
    await far.atLeast(n)
  }
  for (const one of [leader, follower]) {
    const { status, notes } = await readyz(one)
    expect({ status, notes: notes?.length }).toEqual({ status: 200, notes: 1 })
    expect(JSON.stringify(notes)).not.toContain('127.0.0.1')
    expect(one.logs.map(({ sentence }) => sentence)).toContain(
      'The relay is down: the log is read from the table.',
    )
    expect(JSON.stringify(one.logs)).not.toContain('geheim')
  }
  await server.start()
  await eventually(() => both([leader, follower], hasRelay))
  const before = await receivedByRelay(instances)
  await eventually(async () => {
    await db.sql`select kairan.publish('user-1', '{}')`
    return (await receivedByRelay(instances)) > before
  })
})

test('who has the credentials of NATS can send nothing that counts, and it is counted', async () => {
  await using db = await database()
  await using server = await nats()
  await using instances = await pair(db, server.url)
  const { leader, follower } = instances
  await using _liar = startLiar(server.url, createRandom(11))
  await using near = await open(leader.url, { token: await tokenFor('1') })
  await using far = await open(follower.url, { token: await tokenFor('1') })
  await near.control('ready')
  await far.control('ready')
  const count = 300
  for (let n = 0; n < count; n++) {
    await db.sql`select kairan.publish('user-1', ${db.sql.json({ n })})`
  }
  const expected = Array.from({ length: count }, (_, n) => n)
  for (const client of [near, far]) {
    await client.atLeast(count)
    expect(client.events.map(({ payload }) => payload.n as number)).toEqual(expected)
  }
  expect(await messages(follower, 'repeated')).toBeGreaterThan(0)
  // What is not sealed with the key, whatever number it has.
  const before = await messages(follower, 'refused')
  const forger = await connect({ servers: server.url })
  const subjects: string[] = []
  forger.subscribe('kairan.>', { callback: (_, { subject }) => void subjects.push(subject) })
  await eventually(async () => {
    await db.sql`select kairan.publish('user-1', '{}')`
    return subjects.length > 0
  })
  const forged = Buffer.concat([Buffer.from([1]), Buffer.alloc(60, 255)])
  for (let n = 0; n < 5; n++) forger.publish(subjects[0] ?? '', forged)
  await eventually(async () => (await messages(follower, 'refused')) >= before + 5)
  await forger.close()
  expect(await receivedByRelay(instances)).toBeGreaterThan(0)
})
