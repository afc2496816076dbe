import { SignJWT, UnsecuredJWT } from 'jose'
import { secret } from '../service.ts'
import { type Refused, stream, withBearer } from './refused.ts'

const now = () => Math.floor(Date.now() / 1000)

/** Invalid tokens, and tokens of other services. */
export const badTokens = async (): Promise<Refused[]> => {
  const key = new TextEncoder().encode(secret)
  const sign = (claims: Record<string, unknown>, header = {}, by = key) =>
    new SignJWT(claims).setProtectedHeader({ alg: 'HS256', ...header }).sign(by)
  const good = { sub: '42', exp: now() + 60 }
  const [head = '', body = '', signature = ''] = (await sign(good)).split('.')
  const forged = Buffer.from(JSON.stringify({ ...good, sub: '1' })).toString('base64url')
  const all: [what: string, token: string, code: string][] = [
    ['alg none', new UnsecuredJWT(good).encode(), 'token_invalid'],
    ['alg None', `${btoa('{"alg":"None"}')}.${body}.`, 'token_invalid'],
    ['no signature', `${head}.${body}.`, 'token_invalid'],
    ['another payload', `${head}.${forged}.${signature}`, 'token_invalid'],
    ['another secret', await sign(good, {}, key.slice(1)), 'token_invalid'],
    ['HS384', await sign(good, { alg: 'HS384' }), 'token_invalid'],
    [
      'a crit that nobody knows',
      `${btoa('{"alg":"HS256","crit":["x"],"x":1}')}.${body}.${signature}`,
      'token_invalid',
    ],
    ['no sub', await sign({ exp: good.exp }), 'token_invalid'],
    ['no exp', await sign({ sub: '42' }), 'token_invalid'],
    ['exp as text', await sign({ sub: '42', exp: 'tomorrow' }), 'token_invalid'],
    ['an exp that is over', await sign({ ...good, exp: now() - 1 }), 'token_expired'],
    ['an exp of the last century', await sign({ ...good, exp: -1 }), 'token_expired'],
    ['nbf to come', await sign({ ...good, nbf: now() + 30 }), 'token_invalid'],
    ['a sub that is SQL', await sign({ ...good, sub: "1' or '1'='1" }), 'token_invalid'],
    ['a sub with a line end', await sign({ ...good, sub: '1\n2' }), 'token_invalid'],
    ['a sub with U+0000', await sign({ ...good, sub: '1\0' }), 'token_invalid'],
    ['a sub that is a list', await sign({ ...good, sub: ['1'] }), 'token_invalid'],
    ['a sub too long', await sign({ ...good, sub: 'x'.repeat(201) }), 'token_invalid'],
    ['two dots', '..', 'token_invalid'],
    ['one word', 'hello', 'token_invalid'],
    ['8 KB', 'x'.repeat(8000), 'token_invalid'],
  ]
  return [
    ...all.map(([what, token, code]): Refused => [what, withBearer(stream, token), 401, code]),
    ['no token', { path: stream }, 401, 'token_missing'],
    ['Basic', { path: stream, headers: { authorization: 'Basic dTpw' } }, 401, 'token_invalid'],
    ['Bearer alone', { path: stream, headers: { authorization: 'Bearer' } }, 401, 'token_invalid'],
    [
      'a bad cookie',
      { path: stream, headers: { cookie: 'kairan_token=%ff%' } },
      401,
      'token_invalid',
    ],
    [
      'an empty cookie',
      { path: stream, headers: { cookie: 'kairan_token=' } },
      401,
      'token_missing',
    ],
    ['no token to publish', { path: '/notifications', method: 'POST' }, 401, 'token_missing'],
    [
      'no token for a ticket',
      { path: '/notifications/tickets', method: 'POST' },
      401,
      'token_missing',
    ],
  ]
}
