import { expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { parseNatsUrl } from '../../src/lib/nats-url.ts'
import { createNatsRelay } from '../../src/relay/nats-relay.ts'
import { again, expectWithin } from '../support/again.ts'
import { eventually } from '../support/eventually.ts'
import { certificates, nats } from '../support/nats.ts'

/** A relay that has begun to receive, with what it heard and reported. It is stopped at the end of the scope. */
const joined = (url: string, subject: () => string | null = () => 'kairan.test') => {
  const heard: Uint8Array[] = []
  const logs: { facts: object; sentence: string }[] = []
  const log = (facts: object, sentence: string) => void logs.push({ facts, sentence })
  const relay = createNatsRelay({
    address: parseNatsUrl(url),
    subject,
    report: { info: log, warn: log, error: log },
  })
  const receiving = relay.receive(message => heard.push(message))
  return {
    ...receiving,
    relay,
    heard,
    logs,
    texts: () => heard.map(message => Buffer.from(message).toString()),
    logged: () => JSON.stringify(logs),
    [Symbol.asyncDispose]: receiving.stop,
  }
}

type Joined = ReturnType<typeof joined>

const up = (...all: Joined[]) => eventually(() => all.every(one => one.isUp()))

/** Sends as soon as the server has confirmed enough of what was sent before. */
const sent = (from: Joined, message: Uint8Array) =>
  eventually(() =>
    from.relay.send(message).then(
      () => true,
      () => false,
    ),
  )

/** Resolves when what the one sends arrives at the other. */
const passes = (from: Joined, to: Joined) => {
  const text = crypto.randomUUID()
  return eventually(async () => {
    await from.relay.send(Buffer.from(text)).catch(() => undefined)
    return to.texts().includes(text)
  })
}

test('passes bytes to all others, in order and unchanged, and not to the one that sends', async () => {
  await using server = await nats()
  await using one = joined(server.url)
  await using two = joined(server.url)
  await using three = joined(server.url)
  await up(one, two, three)
  const messages = Array.from({ length: 500 }, (_, n) =>
    crypto.getRandomValues(new Uint8Array(1 + ((n * 977) % 60_000))),
  )
  for (const message of messages) await sent(one, message)
  await eventually(() => [two, three].every(({ heard }) => heard.length === messages.length))
  for (const { heard } of [two, three]) {
    expect(heard.every((bytes, n) => Buffer.from(bytes).equals(messages[n] ?? bytes))).toBe(true)
  }
  expect(one.heard).toEqual([])
})

test('instances of another database do not hear it, and one follows a change of its own', async () => {
  await using server = await nats()
  let subject: string | null = null
  await using one = joined(server.url, () => subject)
  await using other = joined(server.url, () => 'kairan.other')
  await using two = joined(server.url, () => 'kairan.one')
  await up(other, two)
  await expect(one.relay.send(new Uint8Array(1))).rejects.toThrow('down')
  subject = 'kairan.one'
  await up(one)
  await passes(two, one)
  expect(other.heard).toEqual([])
  subject = 'kairan.other'
  await passes(other, one)
})

test('comes back after the server crashed, and says both', async () => {
  await using server = await nats()
  await using one = joined(server.url)
  await using two = joined(server.url)
  await up(one, two)
  await server.kill()
  await eventually(() => !one.isUp() && !two.isUp())
  await expect(one.relay.send(new Uint8Array(1))).rejects.toThrow('down')
  await server.start()
  await up(one, two)
  await passes(one, two)
  expect(one.logs.map(({ sentence }) => sentence)).toEqual([
    'The relay is down: the log is read from the table.',
    'The relay is up again.',
  ])
})

test('notices a frozen server, keeps little for it, leaves no socket open, and comes back', async () => {
  await using server = await nats()
  await using one = joined(server.url)
  await using two = joined(server.url)
  await up(one, two)
  const files = () => readdirSync('/proc/self/fd').length
  const before = files()
  server.signal('SIGSTOP')
  const large = new Uint8Array(1_000_000)
  let taken = 0
  await eventually(async () => {
    await one.relay.send(large).then(
      () => taken++,
      () => undefined,
    )
    return !one.isUp()
  })
  expect(taken).toBeLessThan(10)
  // Several attempts are made at the frozen server.
  await eventually(() => !two.isUp())
  const attempts = Date.now() + 5000
  await eventually(() => Date.now() > attempts)
  // An attempt may be under way: those before it have left nothing.
  await eventually(() => files() <= before)
  server.signal('SIGCONT')
  await up(one, two)
  await passes(one, two)
  expect(one.logged()).toContain('no answer within 2000 ms')
})

test('a wrong password is reported once and never shown, and the right one is taken when it comes', async () => {
  const lines = (password: string) => [`authorization { user: kairan, password: "${password}" }`]
  await using server = await nats(lines('right-one'))
  const url = (password: string) => `nats://kairan:${password}@${server.address}`
  await using wrong = joined(url('wrong-one'))
  await using none = joined(server.url)
  await using right = joined(url('right-one'))
  await up(right)
  await eventually(() => wrong.logs.length > 0 && none.logs.length > 0)
  expect(wrong.isUp()).toBe(false)
  expect(wrong.logged()).toMatch(/authorization/i)
  expect(wrong.logged()).not.toContain('wrong-one')
  // It goes on trying, and says nothing more.
  const later = Date.now() + 1500
  await eventually(() => Date.now() > later)
  expect(wrong.logs).toHaveLength(1)
})

test('signs in with a token, percent-encoded passwords and several servers of which one is away', async () => {
  await using withToken = await nats(['authorization { token: "s3cr3t:/@" }'])
  await using one = joined(`nats://s3cr3t%3A%2F%40@${withToken.address}`)
  await using server = await nats(['authorization { user: "a:b", password: "p@,/?" }'])
  await using away = await nats()
  await away.kill()
  await using two = joined(`nats://a%3Ab:p%40%2C%2F%3F@${away.address},${server.address}`)
  await up(one, two)
})

test('a subject that the user may not use is a relay that is down, not one that is deaf', async () => {
  await using server = await nats([
    'authorization { users: [',
    '  { user: reader, password: r, permissions: { subscribe: "kairan.>", publish: { deny: ">" } } }',
    '  { user: stranger, password: s, permissions: { subscribe: "other" } }',
    '] }',
  ])
  await using stranger = joined(`nats://stranger:s@${server.address}`)
  await using reader = joined(`nats://reader:r@${server.address}`)
  await up(reader)
  await eventually(() => stranger.logged().includes('Permissions Violation'))
  expect(stranger.isUp()).toBe(false)
  await reader.relay.send(new Uint8Array(1))
  await eventually(() => reader.logged().includes('Permissions Violation'))
})

test('TLS: trusts the authority that the URL names, checks the name, and shows a certificate', async () => {
  await using files = await certificates('DNS:localhost')
  await using server = await nats([
    `tls { cert_file: "${files.file('server.crt')}", key_file: "${files.file('server.key')}"`,
    `  ca_file: "${files.file('ca.crt')}", verify: true }`,
  ])
  const [, port] = server.address.split(':')
  const ca = `sslrootcert=${files.file('ca.crt')}`
  const own = `sslcert=${files.file('client.crt')}&sslkey=${files.file('client.key')}`
  await using good = joined(`tls://localhost:${port}?${ca}&${own}`)
  await up(good)
  const refused: [url: string, reason: RegExp][] = [
    [`tls://localhost:${port}?${own}`, /certificate|self.signed/i],
    [`tls://127.0.0.1:${port}?${ca}&${own}`, /127\.0\.0\.1|altname/i],
    [`nats://localhost:${port}`, /certificate|self.signed|issuer/i],
  ]
  for (const [url, reason] of refused) {
    await using one = joined(url)
    await eventually(() => one.logs.length > 0)
    expect(one.logged()).toMatch(reason)
    expect(one.isUp()).toBe(false)
  }
  await using withAddress = await certificates('IP:127.0.0.1')
  await using plain = await nats([
    `tls { cert_file: "${withAddress.file('server.crt')}", key_file: "${withAddress.file('server.key')}" }`,
  ])
  await using byAddress = joined(`tls://${plain.address}?sslrootcert=${withAddress.file('ca.crt')}`)
  await up(byAddress)
  // A server without TLS is not spoken to where TLS is asked for.
  await using open = await nats()
  await using asks = joined(`tls://${open.address}?sslrootcert=${withAddress.file('ca.crt')}`)
  await eventually(() => asks.logged().includes('tls'))
  expect(asks.isUp()).toBe(false)
})

test('refuses what is too large for this server, and tells how much is not', async () => {
  await using small = await nats(['max_payload: 5000'])
  await using one = joined(small.url)
  await up(one)
  expect(one.relay.maxBytes).toBe(5000)
  await expect(one.relay.send(new Uint8Array(5001))).rejects.toThrow('too large')
  await using usual = await nats()
  await using two = joined(usual.url)
  await using three = joined(usual.url)
  await up(two, three)
  expect(two.relay.maxBytes).toBe(1024 * 1024)
  await expect(two.relay.send(new Uint8Array(1024 * 1024 + 1))).rejects.toThrow('too large')
  await two.relay.send(new Uint8Array(1024 * 1024))
  await eventually(() => three.heard[0]?.length === 1024 * 1024)
  expect(two.isUp()).toBe(true)
})

test('stops at once, wherever it is, and calls nobody afterwards', async () => {
  await using server = await nats()
  await using two = joined(server.url)
  const one = joined(server.url)
  await up(one, two)
  await Promise.all([one.stop(), one.stop()])
  await two.relay.send(Buffer.from('late'))
  expect(one.isUp()).toBe(false)
  await expect(one.relay.send(new Uint8Array(1))).rejects.toThrow('down')
  server.signal('SIGSTOP')
  await again(async () => {
    const three = joined(server.url)
    const begin = performance.now()
    await three.stop()
    expectWithin('it stopped', performance.now() - begin, 1000)
  })
  server.signal('SIGCONT')
  expect(one.heard).toEqual([])
})

test('one message that can not be taken does not make it deaf', async () => {
  await using server = await nats()
  await using one = joined(server.url)
  const texts: string[] = []
  const logs: object[] = []
  const relay = createNatsRelay({
    address: parseNatsUrl(server.url),
    subject: () => 'kairan.test',
    report: { info: () => undefined, warn: () => undefined, error: facts => logs.push(facts) },
  })
  const receiving = relay.receive(message => {
    texts.push(Buffer.from(message).toString())
    if (texts.length === 1) throw new Error('not taken')
  })
  await eventually(() => one.isUp() && receiving.isUp())
  await one.relay.send(Buffer.from('first'))
  await one.relay.send(Buffer.from('second'))
  await eventually(() => texts.length === 2)
  expect(logs).toEqual([{ error: 'not taken' }])
  await receiving.stop()
})
