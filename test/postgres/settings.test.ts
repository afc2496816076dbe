import { expect, test } from 'bun:test'
import postgres from 'postgres'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { publish } from '../support/publish.ts'
import { serve, tokenFor } from '../support/service.ts'

/** What operators set for a database or a login, for other programs or by mistake. */
const settings = [
  ["DateStyle = 'SQL, DMY'", "IntervalStyle = 'sql_standard'", "TimeZone = 'Asia/Kathmandu'"],
  ["DateStyle = 'German'", "IntervalStyle = 'iso_8601'", "TimeZone = 'Antarctica/Troll'"],
].map(shown => [
  ...shown,
  ...['extra_float_digits = -15', "bytea_output = 'escape'", 'standard_conforming_strings = off'],
  ...['synchronous_commit = off', "default_transaction_isolation = 'serializable'"],
  ...['default_transaction_deferrable = on', 'row_security = off', 'array_nulls = off'],
  ...['transform_null_equals = on', 'quote_all_identifiers = on', "search_path = ''"],
  ...['lock_timeout = 50', 'idle_in_transaction_session_timeout = 1', 'xmloption = document'],
  ...['enable_indexscan = off', "plan_cache_mode = 'force_custom_plan'", "work_mem = '64kB'"],
  ...['join_collapse_limit = 1', 'jit_above_cost = 0', "client_min_messages = 'debug5'"],
])

for (const set of settings) {
  test(`delivers, and answers, whatever the database has set: ${set[0]}`, async () => {
    await using db = await database()
    const name = new URL(db.url).pathname.slice(1)
    for (const setting of set) await db.sql.unsafe(`alter database ${name} set ${setting}`)
    await using service = await serve(db)
    await using client = await openReady(service.url, { token: await tokenFor('1') })
    const sql = postgres(db.url, { max: 1, onnotice: () => undefined })
    await sql`insert into kairan.roles values ('1', 100)`
    await sql`insert into kairan.members values ('org-1', '1')`
    await sql`create table public.orders (id int, user_id int, at timestamptz, price float8)`
    await sql`
      create trigger publish after insert on public.orders
      for each row execute function kairan.publish_row('user-{user_id}', 'order.{op}', 'id,at')`
    await sql`insert into public.orders values (1, 1, '2030-03-04T05:06:07Z', 0.1)`
    const day = { expires_at: '2030-03-04T05:06:07.089Z' }
    await sql`select kairan.publish('user-1', '{"n": 2}', dedupe_key => 'a', expires_at => ${day.expires_at})`
    await sql`select kairan.publish('user-1', '{"n": 2}', dedupe_key => 'a', expires_at => ${day.expires_at})`
    await sql`select kairan.publish('user-1', '{"n": 3}', send_at => now() + interval '0.1 s')`
    await sql`select kairan.publish('user-1', '{"n": 4}', follow_up_after => '1 day')`
    await sql`select kairan.publish(array['org-1', 'all-users'], '{"n": 5}')`
    await expect(sql`select kairan.publish('user-1', '"{}"')`.execute()).rejects.toThrow(
      'encoded as JSON twice',
    )
    const posted = { channel: 'user-1', payload: { n: 6 }, expiresAt: day.expires_at }
    expect((await publish(service.url, posted)).status).toBe(201)
    await sql.end()
    await eventually(() => client.events.length >= 7)
    const came = client.events.map(({ payload: { id, n }, expiresAt }) => [
      n ?? `row ${id}`,
      expiresAt,
    ])
    expect(came.toSorted()).toEqual(
      [
        ...[
          ['row 1', undefined],
          [2, day.expires_at],
          [3, undefined],
          [4, undefined],
        ],
        ...[
          [5, undefined],
          [5, undefined],
          [6, day.expires_at],
        ],
      ].toSorted(),
    )
    const at = client.events.find(({ payload }) => payload.id === 1)?.payload.at
    expect(Date.parse(String(at))).toBe(Date.parse('2030-03-04T05:06:07Z'))
    const upTo = client.lastEventId
    for (const [path, body] of [
      ...['/notifications?type=order.*', '/notifications/preferences', '/admin/scheduled'],
      ...['/admin/deliveries?since=2026-01-01T00:00:00Z', '/admin/overview', '/admin/streams'],
      ...['/admin/system', '/admin/follow-ups', '/readyz'],
    ]
      .map((path): [string, object?] => [path])
      .concat([
        ['/notifications/read', { upTo }],
        ['/notifications/seen', { upTo }],
        ['/notifications/tickets', {}],
      ])) {
      const answer = await fetch(`${service.url}${path}`, {
        method: body ? 'POST' : 'GET',
        headers: {
          authorization: `Bearer ${await tokenFor('1')}`,
          'content-type': 'application/json',
        },
        ...(body && { body: JSON.stringify(body) }),
      })
      expect([path, answer.ok]).toEqual([path, true])
    }
    expect(service.logs.filter(({ level }) => level !== 'info')).toEqual([])
  })
}
