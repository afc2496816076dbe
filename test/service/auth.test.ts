import { expect, test } from 'bun:test'
import { SignJWT, UnsecuredJWT } from 'jose'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { inTime } from '../support/in-time.ts'
import { secret, serve, tokenFor } from '../support/service.ts'

const key = (text: string) => new TextEncoder().encode(text)
const now = () => Math.floor(Date.now() / 1000)
const sign = (claims: Record<string, unknown>, { alg = 'HS256', with: text = secret } = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg }).sign(key(text))

test('refuses every token that it did not ask for, with a code', async () => {
  await using db = await database()
  await using service = await serve(db, { JWT_ISSUER: 'https://id.test', JWT_AUDIENCE: 'kairan' })
  const good = { sub: '42', exp: now() + 60, iss: 'https://id.test', aud: 'kairan' }
  const [head, body] = (await sign(good)).split('.')

  const cases: [what: string, header: string, code: string][] = [
    ['another secret', await sign(good, { with: `${secret}x` }), 'token_invalid'],
    ['another algorithm', await sign(good, { alg: 'HS512' }), 'token_invalid'],
    ['no algorithm', new UnsecuredJWT(good).encode(), 'token_invalid'],
    ['no signature', `${head}.${body}.`, 'token_invalid'],
    ['no exp', await sign({ ...good, exp: undefined }), 'token_invalid'],
    ['an exp that is over', await sign({ ...good, exp: now() - 1 }), 'token_expired'],
    ['no sub', await sign({ ...good, sub: undefined }), 'token_invalid'],
    ['an empty sub', await sign({ ...good, sub: '' }), 'token_invalid'],
    ['a sub with a comma', await sign({ ...good, sub: '1,2' }), 'token_invalid'],
    ['a sub that is a number', await sign({ ...good, sub: 42 }), 'token_invalid'],
    ['a sub of 201 characters', await sign({ ...good, sub: 'x'.repeat(201) }), 'token_invalid'],
    ['another issuer', await sign({ ...good, iss: 'https://evil.test' }), 'token_invalid'],
    ['another audience', await sign({ ...good, aud: 'other' }), 'token_invalid'],
    ['nbf in the future', await sign({ ...good, nbf: now() + 60 }), 'token_invalid'],
    ['no JWT', 'hello', 'token_invalid'],
    ['an empty token', '', 'token_invalid'],
  ]
  for (const [what, token, code] of cases) {
    await using client = await open(service.url, { headers: { authorization: `Bearer ${token}` } })
    expect([what, client.response.status, JSON.parse(client.text).code]).toEqual([what, 401, code])
    expect(client.response.headers.get('content-type')).toBe('application/problem+json')
  }
  await using other = await open(service.url, { headers: { authorization: 'Basic dTpw' } })
  expect(JSON.parse(other.text).code).toBe('token_invalid')
  await using client = await openReady(service.url, { token: await sign(good) })
  expect(client.response.status).toBe(200)
})

test('takes the token from the cookie, and the header before the cookie', async () => {
  await using db = await database()
  await using service = await serve(db, { AUTH_COOKIE: '__Host-session' })
  const cookie = `other=1; __Host-session=${await tokenFor('42')}`

  await using client = await openReady(service.url, { headers: { cookie } })
  await db.sql`select kairan.publish('user-42', '{}')`
  expect((await client.atLeast(1))[0]?.channel).toBe('user-42')

  await using both = await open(service.url, {
    headers: { cookie, authorization: 'Bearer nonsense' },
  })
  expect(both.response.status).toBe(401)
})

test('takes tokens of every secret during a rotation', async () => {
  await using db = await database()
  const older = 'an-older-secret-of-the-tests-0123456789'
  await using service = await serve(db, { JWT_SECRET: `${secret}, ${older}` })
  for (const each of [secret, older]) {
    const token = await sign({ sub: '42', exp: now() + 60 }, { with: each })
    await using client = await openReady(service.url, { token })
    expect(client.response.status).toBe(200)
  }
})

test('remembers a token no longer than it lives', async () => {
  await using db = await database()
  await using service = await serve(db)
  await inTime([2, 5, 10], async seconds => {
    const token = await tokenFor('42', seconds)
    const ask = async () => {
      await using client = await open(service.url, { token })
      return client.response.status === 200 ? 'let in' : JSON.parse(client.text).code
    }
    if ((await ask()) !== 'let in') return false
    const refused = await eventually(async () => {
      const answer = await ask()
      return answer !== 'let in' && answer
    })
    expect([refused, await ask()]).toEqual(['token_expired', 'token_expired'])
    return true
  })
})

test('gives each user the channels of the role level in the database', async () => {
  await using db = await database()
  await using service = await serve(db, { ADMIN_ROLE_LEVEL: '50' })
  await db.sql`insert into kairan.roles values ('boss', 50), ('almost', 49)`
  const channels = async (user: string) => {
    await using client = await openReady(service.url, { token: await tokenFor(user) })
    await db.sql`
      select kairan.publish(array['admin-dashboard', ${`user-${user}`}, 'user-other', 'all-users'], '{}')`
    await client.atLeast(user === 'boss' ? 3 : 2)
    await db.sql`select kairan.publish('all-users', '{"end": true}')`
    const events = await client.atLeast(user === 'boss' ? 4 : 3)
    return events.map(({ channel }) => channel).slice(0, -1)
  }

  expect(await channels('boss')).toEqual(['admin-dashboard', 'user-boss', 'all-users'])
  expect(await channels('almost')).toEqual(['user-almost', 'all-users'])
  expect(await channels('nobody')).toEqual(['user-nobody', 'all-users'])
})

test('reads role levels with ROLE_LEVEL_QUERY from a table of the application', async () => {
  await using db = await database()
  await db.sql`create table staff (id int primary key, rank int)`
  await db.sql`insert into staff values (7, 100)`
  await using service = await serve(db, {
    ROLE_LEVEL_QUERY: 'select rank from staff where id = $1',
  })
  const status = async (user: string) => {
    await using client = await open(service.url, {
      token: await tokenFor(user),
      query: '?channels=admin-dashboard',
    })
    return client.response.status
  }
  expect(await status('7')).toBe(200)
  expect(await status('8')).toBe(403)
  // Not even a number, as the ids of that table are.
  expect(await status('seven')).toBe(403)
})

test('narrows a stream by ?channels=, and refuses one that the user may not read', async () => {
  await using db = await database()
  await using service = await serve(db)
  const token = await tokenFor('42')
  const cases: [query: string, status: number, code?: string][] = [
    ['?channels=user-42', 200],
    ['?channels=all-users,user-42', 200],
    ['?channels=user-43', 403, 'channel_forbidden'],
    ['?channels=user-42,admin-dashboard', 403, 'channel_forbidden'],
    ['?channels=nonsense', 403, 'channel_forbidden'],
    ['?channels=', 400, 'bad_channels'],
    ['?channels=,', 400, 'bad_channels'],
    ['?channels=user-42&channels=all-users', 200],
    ['?channels=user-42&channels=user-43', 403, 'channel_forbidden'],
    ['?channels[]=user-43', 200],
    ['?channels=%00', 403, 'channel_forbidden'],
    ['?channels=%ff', 403, 'channel_forbidden'],
  ]
  for (const [query, status, code] of cases) {
    await using client = await open(service.url, { token, query })
    expect([query, client.response.status]).toEqual([query, status])
    if (code) expect(JSON.parse(client.text).code).toBe(code)
  }

  await using client = await openReady(service.url, { token, query: '?channels=all-users' })
  await db.sql`select kairan.publish(array['user-42', 'all-users'], '{}')`
  await client.atLeast(1)
  await db.sql`select kairan.publish('all-users', '{}')`
  const events = await client.atLeast(2)
  expect(events.map(({ channel }) => channel)).toEqual(['all-users', 'all-users'])
})
