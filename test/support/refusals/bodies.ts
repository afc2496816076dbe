import { publisherToken, tokenWith } from '../publish.ts'
import { tokenFor } from '../service.ts'
import { type Refused, withBearer } from './refused.ts'

/** Bodies that are refused. */
export const badBodies = async (): Promise<Refused[]> => {
  const token = await publisherToken()
  const send = (path: string, body: BodyInit, type = 'application/json', more = {}, by = token) =>
    withBearer(path, by, { method: 'POST', body, headers: { 'content-type': type, ...more } })
  const form = 'application/x-www-form-urlencoded'
  const one = (more: object) => JSON.stringify({ channel: 'user-1', payload: {}, ...more })
  const bad: [what: string, body: string | Uint8Array<ArrayBuffer>][] = [
    ['null', 'null'],
    ['a list', '[]'],
    ['a number', '7'],
    ['no channel', '{"payload": {}}'],
    ['a channel of null', one({ channel: null })],
    ['a channel that is a number', one({ channel: 7 })],
    ['a channel that is SQL', one({ channel: "user-1'; drop table log; --" })],
    ['both channel and channels', one({ channels: ['user-2'] })],
    ['channels in channels', one({ channel: undefined, channels: [['user-1']] })],
    ['1001 channels', one({ channel: undefined, channels: Array(1001).fill('user-1') })],
    ['half a character', '{"channel": "user-\\ud800", "payload": {}}'],
    ['U+0000 in the channel', one({ channel: 'user-\0' })],
    ['U+0000 in the payload', one({ payload: { a: '\0' } })],
    ['half a character in the payload', '{"channel": "user-1", "payload": {"a": "\\ud800"}}'],
    ['a payload that is text', one({ payload: 'hello' })],
    ['a payload encoded twice', one({ payload: '{}' })],
    ['metadata that is no object', one({ payload: { metadata: [] } })],
    [
      'a number of 300,000 digits',
      `{"channel": "user-1", "payload": {"a": ${'9'.repeat(300_000)}}}`,
    ],
    [
      'a payload of depth 250,000',
      `{"channel": "user-1", "payload": {"a": ${'['.repeat(250_000)}${']'.repeat(250_000)}}}`,
    ],
    ['a type that is an object', one({ type: {} })],
    ['a type of 201 characters', one({ type: 'x'.repeat(201) })],
    ['a dedupeKey of 201', one({ dedupeKey: 'x'.repeat(201) })],
    ['an expiresAt in words', one({ expiresAt: 'tomorrow' })],
    ['an expiresAt without a zone', one({ expiresAt: '2030-01-01T00:00:00' })],
    ['an expiresAt of year 0', one({ expiresAt: '0000-01-01T00:00:00Z' })],
    ['a member that nobody knows', one({ dedupe_key: 'x' })],
    ['__proto__', '{"__proto__": {"channel": "user-1"}, "payload": {}}'],
    ['no batch', '{"notifications": {}}'],
    ['an empty batch', '{"notifications": []}'],
    ['a batch of 101', JSON.stringify({ notifications: Array(101).fill({}) })],
  ]
  const chunked = new ReadableStream({
    start(controller) {
      for (let n = 0; n < 40; n++) controller.enqueue(new Uint8Array(65_536).fill(32))
      controller.close()
    },
  })
  const path = '/notifications'
  return [
    ...bad.map(([what, body]): Refused => [what, send(path, body), 400, 'bad_notification']),
    ['no JSON', send(path, '{'), 400, 'bad_request'],
    ['an empty body', send(path, ''), 400, 'bad_request'],
    ['no UTF-8', send(path, new Uint8Array([0x22, 0xff, 0x22])), 400, 'bad_request'],
    ['XML', send(path, '<a/>', 'application/xml'), 415, 'unsupported_media_type'],
    ['2 MB', send(path, ' '.repeat(2_000_000)), 413, 'body_too_large'],
    ['2.6 MB without a length', send(path, chunked), 413, 'body_too_large'],
    [
      'a payload of 70 KB',
      send(path, one({ payload: { a: 'x'.repeat(70_000) } })),
      413,
      'payload_too_large',
    ],
    ['an empty form', send(path, '', form), 400, 'bad_notification'],
    [
      'a form whose payload is no JSON',
      send(path, 'channel=user-1&payload={', form),
      400,
      'bad_notification',
    ],
    [
      'a form with two types',
      send(path, 'channel=user-1&type=a&type=b', form),
      400,
      'bad_notification',
    ],
    [
      'two keys',
      send(path, one({ dedupeKey: 'a' }), undefined, { 'idempotency-key': 'b' }),
      400,
      'bad_notification',
    ],
    [
      'a key for a batch',
      send(path, '{"notifications": [{}]}', undefined, { 'idempotency-key': 'b' }),
      400,
      'bad_notification',
    ],
    [
      'a token without the scope',
      send(path, one({}), undefined, {}, await tokenFor('42')),
      403,
      'scope_missing',
    ],
    [
      'a channel beyond the token',
      send(
        path,
        one({}),
        undefined,
        {},
        await tokenWith({ scope: 'kairan:publish', 'kairan:channels': ['user-2'] }),
      ),
      403,
      'channel_forbidden',
    ],
    ['a ticket of a list', send(`${path}/tickets`, '[]'), 400, 'bad_request'],
    ['a ticket for no channels', send(`${path}/tickets`, '{"channels": []}'), 400, 'bad_channels'],
    [
      'a ticket for a nonsense',
      send(`${path}/tickets`, '{"channels": ["x y"]}'),
      400,
      'bad_channels',
    ],
    [
      'a ticket by form',
      send(`${path}/tickets`, 'channels=all-users', form),
      415,
      'unsupported_media_type',
    ],
  ]
}
