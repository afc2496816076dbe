import type { Sql } from '../../src/postgres/connect.ts'

/**
 * Fills an empty log with `rows` deliveries of the past. 100 of them, spread over the log, are for user-rare, and a tenth
 * of all for user-busy, of which the newest 10 are pending. The rest is for a thousand users. Of all, 1 in 100 is
 * pending, and 1 in 10 has expired after it was delivered. `rows` is a multiple of 10,000.
 */
export const fill = async (sql: Sql, rows: number) => {
  // In the order of time, like UUIDs of version 7.
  const id = `('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`
  const channel = `case
    when n % ${rows / 100} = 0 then 'user-rare'
    when n % 10 = 0 then 'user-busy'
    else 'user-' || n % 1000 end`
  const isPending = `(n % 10 = 0 and n > ${rows - 110} and n < ${rows} or n % 100 = 7)`
  await sql.unsafe(`
    alter table kairan.notifications disable trigger user;
    insert into kairan.notifications (id, channels, payload, bytes, expires_at)
    select ${id}, array[${channel}], '${payload}', ${payload.length},
      case when n % 10 = 3 then now() - interval '1 hour' - n * interval '1 millisecond' end
    from generate_series(1, ${rows}) n;
    alter table kairan.notifications enable trigger user;

    insert into kairan.numbered (notification_id, channel, seq, status, recipients, created_at, delivered_at)
    select ${id}, ${channel}, n,
      case when ${isPending} then 'p' else 'd' end,
      case when ${isPending} then 0 else 1 end,
      now(),
      case when ${isPending} then null else now() end
    from generate_series(1, ${rows}) n;
  `)
  // All of it has been numbered.
  await sql.unsafe(`
    insert into kairan.batches (n, head, done, done_place, place)
    select 2, ${rows}, pg_current_snapshot(), 0, 0`)
  await sql.unsafe('vacuum analyze kairan.notifications')
  await sql.unsafe('vacuum analyze kairan.numbered')
}

// 200 bytes as Postgres prints it, with the byte that the readers count.
const payload = `{"text": "~${'x'.repeat(200 - '{"text": "~"}'.length)}"}`
