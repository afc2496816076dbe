/**
 * How large does each table get? A day's traffic in miniature: users who are away and come back, publishers, marks and
 * changed roles, all by the SQL functions that the service calls. Prints rows and bytes of each table, and the bytes
 * for each notification. NOTIFICATIONS, USERS and MARKS set the size.
 */
import { connect } from '../src/postgres/connect.ts'
import { benchDatabase, benchService } from './support/server.ts'
import { printTable } from './support/table.ts'

const notifications = Number(process.env.NOTIFICATIONS ?? 50_000)
const users = Number(process.env.USERS ?? 500)
/** Marks of 100 notifications each. */
const marks = Number(process.env.MARKS ?? 1000)
/** How often each user comes back. */
const rounds = 20

await using database = await benchDatabase()
await using _service = await benchService(database.url, { RETENTION: '7d' })
const sql = connect(database.url, { max: 1, name: 'bench' })

/** Waits until everything is numbered, and returns the position reached. */
const numbered = async () => {
  for (;;) {
    const [left] = await sql`select from kairan.unnumbered() limit 1`
    const [log] = await sql<{ head: number }[]>`select head from kairan.log`
    if (!left && log) return log.head
    await Bun.sleep(50)
  }
}

let cursor = await numbered()
for (let round = 0; round < rounds; round++) {
  const since = cursor
  await sql`
    insert into kairan.notifications (channels, payload, type)
    select array[case when n % 5 = 0 then 'all-users' else 'user-' || n % ${users}::int end],
      jsonb_build_object('text', repeat('x', 200)), 'order.shipped'
    from generate_series(1, ${Math.ceil(notifications / rounds)}::int) n`
  cursor = await numbered()
  await sql`
    select kairan.record_unconfirmed((
      select jsonb_agg(item) from generate_series(0, ${users - 1}::int) u
      cross join lateral (values
        (jsonb_build_object('userId', u::text, 'since', ${since}::bigint, 'seq', ${cursor}::bigint, 'pending', '[]'::jsonb,
          'channels', jsonb_build_array('user-' || u, 'all-users'))),
        (jsonb_build_object('userId', u::text, 'since', ${cursor}::bigint, 'seq', ${cursor}::bigint))
      ) i (item)
    ))`
  await sql`
    select kairan.mark_inbox(u::text, array['user-' || u, 'all-users'], jsonb_build_object('ids', (
      select jsonb_agg(notification_id) from (
        select notification_id from kairan.numbered
        where channel in ('user-' || u, 'all-users') and seq > ${since}::bigint limit 100
      ) chosen
    )))
    from generate_series(1, ${Math.ceil(marks / rounds)}::int) m, lateral (select (m * 7) % ${users}::int as u) s`
  await sql`
    insert into kairan.roles select u::text, 1 from generate_series(0, ${users - 1}::int) u
    on conflict (user_id) do update set role_level = excluded.role_level + 1`
}

await sql`vacuum analyze`
const tables = await sql<{ name: string; rows: number; bytes: number }[]>`
  select c.relname as name, greatest(c.reltuples, 0)::float8 as rows, pg_total_relation_size(c.oid)::float8 as bytes
  from pg_class c where c.relnamespace = 'kairan'::regnamespace and c.relkind = 'r' order by bytes desc`
printTable(
  ['table', 'rows', 'KiB', 'bytes a notification'],
  tables.map(({ name, rows, bytes }) => [
    name,
    String(rows),
    (bytes / 1024).toFixed(0),
    (bytes / notifications).toFixed(1),
  ]),
)
await sql.end()
