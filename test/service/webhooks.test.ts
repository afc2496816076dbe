import { expect, test } from 'bun:test'
import { Webhook } from 'standardwebhooks'
import { ConfigError, readConfig, showConfig } from '../../src/config.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { receiver } from '../support/receiver.ts'
import { serve } from '../support/service.ts'

const secrets = ['a', 'b'].map(
  letter => `whsec_${Buffer.from(letter.repeat(32)).toString('base64')}`,
) as [string, string]

const settings = (url: string) => ({ WEBHOOK_URL: url, WEBHOOK_SECRET: secrets.join(', ') })

/** Makes follow-ups for these users. The payload has a number that JavaScript would round. */
const follow = async ({ sql }: TestDatabase, ...users: string[]) => {
  await sql`
    insert into kairan.notifications (channels, payload, type, follow_up_after)
    select array['user-' || u], jsonb_build_object('n', 12345678901234567890), 'order.shipped', '1 hour'
    from unnest(${users}::text[]) u`
  await sql`select from kairan.number()`
  await eventually(async () => {
    const [row] = await sql`select count(*)::int as n from kairan.follow_up_due`
    return row?.n === users.length
  })
  await sql`update kairan.follow_up_due set due_at = now() - interval '1 second'`
}

/** Makes what was postponed available, as time would. */
const again = ({ sql }: TestDatabase) =>
  sql`update kairan.follow_ups set available_at = now() where finished_at is null and error is not null`

type Row = {
  user: string
  attempts: number
  finished: boolean
  error: string | null
  seconds: number
}

const rows = async ({ sql }: TestDatabase) => [
  ...(await sql<Row[]>`
    select user_id as user, attempts, finished_at is not null as finished, error,
      extract(epoch from available_at - clock_timestamp())::float8 as seconds
    from kairan.follow_ups order by id`),
]

const finished = (db: TestDatabase, count: number) =>
  eventually(async () => (await rows(db)).filter(row => row.finished).length === count)

test('a follow-up is posted once, signed with each secret, and its numbers keep their digits', async () => {
  await using db = await database()
  await using hook = await receiver()
  await using service = await serve(db, settings(hook.url))
  await follow(db, '42')
  await finished(db, 1)
  const [request] = hook.received
  expect(hook.received).toHaveLength(1)
  expect(request?.body).toContain('12345678901234567890')
  for (const secret of secrets) {
    expect(() =>
      new Webhook(secret).verify(request?.body ?? '', request?.headers ?? {}),
    ).not.toThrow()
  }
  const other = new Webhook(`whsec_${Buffer.from('c'.repeat(32)).toString('base64')}`)
  expect(() => other.verify(request?.body ?? '', request?.headers ?? {})).toThrow()
  expect(JSON.parse(request?.body ?? '')).toMatchObject({
    type: 'follow_up.created',
    timestamp: expect.stringMatching(/^20\d\d-/),
    data: { id: 1, userId: '42', channel: 'user-42', type: 'order.shipped' },
  })
  expect(await rows(db)).toMatchObject([{ attempts: 1, finished: true, error: null }])
  // It counts when it hears that its outcome is written.
  const metrics = await eventually(async () => {
    const text = await (await fetch(`${service.url}/metrics`)).text()
    return text.includes('kairan_webhooks_total{outcome="sent"} 1') && text
  })
  expect(metrics).toContain('kairan_follow_ups{state="finished"} 1')
  expect(`${JSON.stringify(service.logs)}${metrics}`).not.toMatch(/geheim|whsec_/)
})

test('what fails is posted again later, with the same id and a new signature', async () => {
  await using db = await database()
  await using hook = await receiver()
  await using service = await serve(db, settings(hook.url))
  hook.state.answer = ({ data }, response, attempt) => {
    if (attempt === 1 && data.userId === 'busy') {
      response.writeHead(503, { 'retry-after': '600' }).end('geheim')
    } else if (attempt === 1 && data.userId === 'moved') {
      response.writeHead(307, { location: `${hook.url}?moved` }).end()
    } else if (attempt === 1 && data.userId === 'cut') response.destroy()
    else if (data.userId === 'gone') response.writeHead(410).end()
    else response.writeHead(200).end('ok')
  }
  await follow(db, 'busy', 'moved', 'cut', 'gone', 'fine')
  await finished(db, 2)
  await eventually(async () => (await rows(db)).every(row => row.finished || row.error !== null))
  const first = await rows(db)
  expect(first.map(({ user, error }) => `${user}: ${error}`)).toEqual([
    'busy: status 503',
    'moved: status 307: redirects are not followed',
    'cut: no connection: ECONNRESET',
    'gone: given up: status 410',
    'fine: null',
  ])
  expect(first[0]?.seconds).toBeGreaterThan(500)
  expect(first[1]?.seconds).toBeLessThan(10)
  await again(db)
  await finished(db, 5)
  expect(await rows(db)).toMatchObject(
    [2, 2, 2, 1, 1].map(attempts => ({ attempts, finished: true })),
  )
  const ids = (user: string) => hook.received.filter(({ data }) => data.userId === user)
  for (const user of ['busy', 'moved', 'cut']) {
    expect(ids(user)).toHaveLength(2)
    expect(new Set(ids(user).map(({ id }) => id)).size).toBe(1)
    const { body = '', headers = {} } = ids(user)[1] ?? {}
    expect(() => new Webhook(secrets[0]).verify(body, headers)).not.toThrow()
  }
  expect(hook.state.refused).toBe(0)
  expect(JSON.stringify(service.logs)).toContain('A webhook failed')
  expect(JSON.stringify(service.logs)).not.toContain('geheim')
})

test('a receiver that hangs or never ends its answer keeps no other from its follow-up', async () => {
  await using db = await database()
  await using hook = await receiver()
  await using _service = await serve(db, settings(hook.url))
  hook.state.answer = ({ data }, response) => {
    if (data.userId === 'hangs') return
    response.writeHead(200)
    if (data.userId !== 'endless') return void response.end()
    const more = () => {
      if (response.destroyed) return
      response.write('x'.repeat(65_536), () => setTimeout(more, 1))
    }
    more()
  }
  await follow(db, ...Array.from({ length: 19 }, () => 'hangs'), 'endless', 'fine', 'endless')
  await finished(db, 3)
  expect(hook.users().filter(user => user !== 'hangs')).toEqual(['endless', 'fine', 'endless'])
})

test('two instances and a receiver that restarts: each arrives, under one id', async () => {
  await using db = await database()
  const users = Array.from({ length: 200 }, (_, n) => `u${n}`)
  const ids = new Map<string, Set<string>>()
  const seen: string[] = []
  let port = 0
  {
    await using first = await receiver()
    port = first.port
    first.state.answer = (item, response) => {
      const known = ids.get(item.data.userId) ?? new Set()
      ids.set(item.data.userId, known.add(item.id))
      if (first.received.length > 50) response.destroy()
      else {
        seen.push(item.data.userId)
        response.writeHead(204).end()
      }
    }
    await using _one = await serve(db, settings(first.url))
    await follow(db, ...users)
    await eventually(() => first.received.length > 60)
  }
  // Now nobody answers at all.
  const url = `http://127.0.0.1:${port}/geheim/hook`
  await using _two = await serve(db, settings(url))
  await using _three = await serve(db, settings(url))
  await eventually(async () =>
    (await rows(db)).some(({ error }) => error === 'no connection: ECONNREFUSED'),
  )
  // A connection of another program may come from that port for a moment.
  await using second = await eventually(() => receiver(port).catch(() => null))
  second.state.answer = (item, response) => {
    const known = ids.get(item.data.userId) ?? new Set()
    ids.set(item.data.userId, known.add(item.id))
    seen.push(item.data.userId)
    response.writeHead(204).end()
  }
  await eventually(async () => {
    await db.sql`update kairan.follow_ups set available_at = now() where finished_at is null and available_at > now()`
    return (await rows(db)).every(row => row.finished)
  })
  expect(new Set(seen).size).toBe(200)
  expect([...ids.values()].every(({ size }) => size === 1)).toBe(true)
})

test('wrong settings are named, and what is right is never shown', () => {
  const needed = {
    DATABASE_URL: 'postgres://db.test/d',
    JWT_SECRET: '0123456789-abcdefgh-0123456789-abcdefgh',
  }
  const problemsOf = (env: Record<string, string>) => {
    try {
      readConfig({ ...needed, ...env })
      return []
    } catch (error) {
      if (error instanceof ConfigError) return error.problems
      throw error
    }
  }
  expect(problemsOf({ WEBHOOK_URL: 'https://example.com/hook' })).toEqual([
    expect.stringContaining('WEBHOOK_SECRET is missing'),
  ])
  expect(problemsOf(settings('ftp://geheim.test'))).toEqual([
    'WEBHOOK_URL is not a URL like https://example.com/kairan.',
  ])
  expect(problemsOf(settings('https://a:geheim@example.com'))).toEqual([
    expect.stringContaining('WEBHOOK_URL has a password in it'),
  ])
  for (const secret of ['geheim', `whsec_${btoa('too short')}`, `whsec_${btoa('x'.repeat(65))}`]) {
    const env = { ...settings('https://example.com'), WEBHOOK_SECRET: `${secrets[0]},${secret}` }
    expect(problemsOf(env)).toEqual([expect.stringMatching(/^WEBHOOK_SECRET \(number 2\) is not /)])
  }
  const shown = showConfig(
    readConfig({ ...needed, ...settings('https://h.test/geheim/?key=geheim') }),
  )
  expect(shown).toMatchObject({
    WEBHOOK_URL: 'https://h.test/••••',
    WEBHOOK_SECRET: '••••••••, ••••••••',
  })
})
