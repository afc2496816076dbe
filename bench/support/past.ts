import type { Sql } from '../../src/postgres/connect.ts'

const piece = 500_000

/**
 * Fills an empty log with `rows` deliveries, made evenly in the `overMs` before `until`, for `users` users; one in
 * `pendingOf` is pending. Indexes into which a growing log appends are made afterwards, which is faster; those that it
 * inserts into all over grow with the rows, as an index that was made at once is half as large.
 */
export const fillPast = async (
  sql: Sql,
  past: { rows: number; users: number; until: Date; overMs: number; pendingOf?: number },
) => {
  const { rows, users, until, overMs, pendingOf = rows + 1 } = past
  const begin = performance.now()
  const note = (what: string) =>
    console.log(`Filling: ${what} after ${((performance.now() - begin) / 1000).toFixed(0)} s`)
  const at = `timestamptz '${until.toISOString()}' - interval '1 ms' * (${overMs} * (1 - n / ${rows}.0))`
  const key = (n: string) => `('01900000-0000-7000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`
  const addIndexes = await dropIndexes(sql)
  await sql.unsafe('alter table kairan.notifications disable trigger user')
  // Truncated first, so that a server with the wal_level "minimal" writes no WAL for it.
  await Promise.all([
    sql.begin(async sql => {
      await sql.unsafe('truncate kairan.notifications')
      for (let from = 1; from <= rows; from += piece) {
        const to = Math.min(from + piece - 1, rows)
        await sql.unsafe(`
          insert into kairan.notifications (id, channels, payload, bytes, type, created_at)
          select ${key('n')}, array['user-' || n * 7919 % ${users}], '{"text": "${'x'.repeat(186)}"}', 200,
            'order.shipped', ${at}
          from generate_series(${from}::bigint, ${to}) n`)
        if (to % (piece * 4) === 0 || to === rows) note(`${to.toLocaleString('en')} notifications`)
      }
    }),
    sql.begin(async sql => {
      await sql.unsafe('truncate kairan.numbered')
      await sql.unsafe(`
        insert into kairan.numbered (seq, notification_id, channel, type, status, recipients, created_at, delivered_at)
        select n, ${key('n')}, 'user-' || n * 7919 % ${users}, 'order.shipped',
          case when n % ${pendingOf} = 0 then 'p' else 'd' end, (n % ${pendingOf} <> 0)::int, ${at},
          case when n % ${pendingOf} <> 0 then ${at} end
        from generate_series(1::bigint, ${rows}) n`)
      note('deliveries')
    }),
  ])
  await sql.unsafe('alter table kairan.notifications enable trigger user')
  await addIndexes()
  note('indexes')
  // All of it has been numbered.
  await sql.unsafe(`
    insert into kairan.batches (n, head, done, done_place, place)
    select n + 1, ${rows}, pg_current_snapshot(), pg_sequence_last_value('kairan.notifications_place_seq'),
      pg_sequence_last_value('kairan.notifications_place_seq')
    from kairan.batches order by n desc limit 1`)
  await Promise.all([
    sql.unsafe('vacuum analyze kairan.notifications'),
    sql.unsafe('vacuum analyze kairan.numbered'),
  ])
  await sql.unsafe('checkpoint')
  note('vacuum')
}

/**
 * Drops the keys and indexes of both tables. Returns what makes them again: those by channel with pages as full as they
 * get when rows are inserted all over.
 */
const dropIndexes = async (sql: Sql) => {
  const indexes = await sql<
    { table: string; name: string; definition: string; key: string | null }[]
  >`
    select i.indrelid::regclass::text as table, c.relname as name, pg_get_indexdef(i.indexrelid) as definition,
      (select pg_get_constraintdef(k.oid) from pg_constraint k where k.conindid = i.indexrelid) as key
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid in ('kairan.notifications'::regclass, 'kairan.numbered'::regclass)`
  for (const { table, name, key } of indexes) {
    await sql.unsafe(
      key ? `alter table ${table} drop constraint ${name}` : `drop index kairan.${name}`,
    )
  }
  const add = async (sql: Pick<Sql, 'unsafe'>, from: string) => {
    await sql.unsafe(`set maintenance_work_mem = '512MB'`)
    for (const { table, name, definition, key } of indexes.filter(({ table }) => table === from)) {
      if (key) await sql.unsafe(`alter table ${table} add constraint ${name} ${key}`)
      else if (definition.includes('(channel')) {
        await sql.unsafe(definition.replace(/( WHERE|$)/, ' with (fillfactor = 55)$1'))
        await sql.unsafe(`alter index kairan.${name} reset (fillfactor)`)
      } else await sql.unsafe(definition)
    }
  }
  return () =>
    Promise.all(
      ['kairan.notifications', 'kairan.numbered'].map(table => sql.begin(tx => add(tx, table))),
    )
}
