import { test } from 'bun:test'
import postgres from 'postgres'
import { again, expectWithin } from '../support/again.ts'
import { openReady } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { proxyTo } from '../support/proxy.ts'
import { serve, tokenFor } from '../support/service.ts'

/** How long Postgres is away, in seconds. `OUTAGES=1,20,90` takes longer than CI has time for. */
const outages = (process.env.OUTAGES ?? '1,20').split(',').map(Number)

/** What contract.md promises: from when the primary answers until delivery goes on. */
const promisedMs = 2000

for (const seconds of outages) {
  const measure = async () => {
    await using server = await cluster()
    // Three ways to be away: connections are refused, are accepted and closed, or get no answer at all.
    await using closing = await proxyTo(server.port)
    await using silent = await proxyTo(server.port)
    const urls = [server.port, closing.port, silent.port].map(port =>
      Object.assign(new URL(server.url), { port: String(port) }).toString(),
    )
    await using refused = await follow(urls[0])
    await using closed = await follow(urls[1])
    await using unanswered = await follow(urls[2])
    const all = [refused, closed, unanswered]

    silent.cut()
    await server.stop('fast')
    const end = Date.now() + seconds * 1000
    await eventually(() => Date.now() > end, seconds * 1000 + 5000)
    const answering = firstAnswer(server.url)
    await server.start()
    const since = await answering
    silent.heal()
    const took = await Promise.all(all.map(service => service.back(since)))
    console.log(JSON.stringify(took))
    for (const { streamMs, inboxMs, readyMs } of took) {
      expectWithin('delivery went on', Math.max(streamMs, inboxMs, readyMs), promisedMs)
    }
  }
  test(`delivers within 2 s of when Postgres answers, after ${seconds} s without it`, async () => {
    await again(measure)
  }, 480_000)
}

/** A service with an open stream, which tells how soon it was right again. */
const follow = async (url = '') => {
  const service = await serve({ url })
  const token = await tokenFor('42')
  const client = await openReady(service.url, { token })
  const msFrom = async (since: number, check: () => boolean | Promise<boolean>) => {
    await eventually(check, 60_000)
    return Math.round(Date.now() - since)
  }
  return {
    async back(since: number) {
      const [readyMs, inboxMs] = await Promise.all([
        msFrom(since, async () => (await fetch(`${service.url}/readyz`)).ok),
        msFrom(since, async () => (await inbox(service.url, token)).ok),
      ])
      const sql = postgres(url, { max: 1, onnotice: () => undefined, backoff: () => 0.01 })
      await sql`select kairan.publish('user-42', '{}')`
      const streamMs = await msFrom(since, () => client.events.length > 0)
      await sql.end()
      return { streamMs, inboxMs, readyMs }
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]()
      await service[Symbol.asyncDispose]()
    },
  }
}

const inbox = (url: string, token: string) =>
  fetch(`${url}/notifications`, { headers: { authorization: `Bearer ${token}` } })

/** Resolves with the time at which the server answers for the first time. */
const firstAnswer = async (url: string) => {
  for (;;) {
    const sql = postgres(url, { max: 1, onnotice: () => undefined })
    try {
      await sql`select 1`
      return Date.now()
    } catch {
      await Bun.sleep(10)
    } finally {
      await sql.end({ timeout: 0 })
    }
  }
}
