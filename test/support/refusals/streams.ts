import { tokenFor } from '../service.ts'
import { ticketFor } from '../tickets.ts'
import { type Refused, stream, withBearer } from './refused.ts'

/** Wrong cursors, channels, tickets, origins and hosts. */
export const badStreams = async (url: string): Promise<Refused[]> => {
  const token = await tokenFor('42')
  const cookie = `kairan_token=${token}`
  const spent = await ticketFor(url, '42')
  await (await fetch(`${url}${stream}?ticket=${spent}`)).body?.cancel()
  const sql = encodeURIComponent("'; drop table deliveries; --")
  const of = (what: string, query: string, code: string, headers = {}): Refused => [
    what,
    withBearer(`${stream}?${query}`, token, { headers }),
    code === 'channel_forbidden' ? 403 : 400,
    code,
  ]
  const byTicket = (what: string, ticket: string, headers = {}): Refused => [
    what,
    { path: `${stream}?ticket=${ticket}`, headers },
    401,
    'ticket_invalid',
  ]
  return [
    of('no channel', 'channels=', 'bad_channels'),
    of('no channel, with a cursor', 'channels=&last_event_id=abc-1', 'bad_channels'),
    of('a U+0000 as a channel', 'channels=%00', 'channel_forbidden'),
    of('a channel of 8 KB', `channels=${'x'.repeat(8000)}`, 'channel_forbidden'),
    of(
      "another user's, with a cursor",
      'channels=user-43&last_event_id=yesterday',
      'channel_forbidden',
    ),
    of('commas', 'channels=,,', 'bad_channels'),
    of("another user's channel", 'channels=user-43', 'channel_forbidden'),
    of('the channel of admins', 'channels=admin-dashboard', 'channel_forbidden'),
    of('a channel that is SQL', `channels=${sql}`, 'channel_forbidden'),
    of('no UTF-8', 'channels=%ff%fe', 'channel_forbidden'),
    of('a pattern', 'channels=user-*', 'channel_forbidden'),
    byTicket('an empty ticket', ''),
    byTicket('a ticket that is SQL', sql),
    byTicket('a ticket made up', 'A'.repeat(43)),
    byTicket('a ticket of 8 KB', 'A'.repeat(8000)),
    byTicket('a spent ticket', spent),
    byTicket('a spent ticket with a cursor', spent, { 'last-event-id': 'abc-1' }),
    byTicket('a made-up proof', spent, { 'last-event-id': `new-${'0'.repeat(30)}` }),
    [
      'a cookie from another site',
      { path: stream, headers: { cookie, 'sec-fetch-site': 'cross-site' } },
      403,
      'origin_forbidden',
    ],
    [
      'a cookie from another origin',
      { path: stream, headers: { cookie, origin: 'https://evil.test' } },
      403,
      'origin_forbidden',
    ],
    [
      'a cookie from nowhere',
      { path: stream, headers: { cookie, origin: 'null' } },
      403,
      'origin_forbidden',
    ],
    ['another Host', { path: stream, headers: { host: 'evil.test' } }, 421, 'host_forbidden'],
    ['a Host that is none', { path: stream, headers: { host: 'a/b?c' } }, 421, 'host_forbidden'],
    ['an address that is none', { path: '/notifications/../../etc/passwd' }, 404, 'not_found'],
    ['another method', { path: stream, method: 'PATCH' }, 404, 'not_found'],
    ['a bad escape', { path: '/notifications/%zz' }, 404, 'not_found'],
  ]
}
