import type { Sql } from '../../src/postgres/connect.ts'

/** The tables of the log, which grow with what is published and shrink by retention. */
export const logTables = ['notifications', 'numbered', 'batches']

/** The size of each of the log's tables and of each of their indexes, in MiB. */
export const sizesOfLog = async (sql: Sql) => {
  const rows = await sql<{ name: string; mib: number }[]>`
    select c.relname as name, (case c.relkind when 'i' then pg_relation_size(c.oid) else pg_table_size(c.oid) end
      / 1048576.0)::float8 as mib
    from pg_class c left join pg_index i on i.indexrelid = c.oid
    where coalesce(i.indrelid, c.oid) in (
      select ('kairan.' || t)::regclass from jsonb_array_elements_text(${sql.json(logTables)}) t
    )
    order by (select r.relname from pg_class r where r.oid = coalesce(i.indrelid, c.oid)), i.indexrelid nulls first`
  return new Map(rows.map(({ name, mib }) => [name, mib]))
}

/** What Postgres has counted for each of the log's tables. */
export const countsOfLog = (sql: Sql) => sql<
  { name: string; live: number; dead: number; scans: number; scanned: number; vacuums: number }[]
>`
  select relname as name, n_live_tup::float8 as live, n_dead_tup::float8 as dead, seq_scan::float8 as scans,
    seq_tup_read::float8 as scanned, autovacuum_count::float8 as vacuums
  from pg_stat_user_tables
  where schemaname = 'kairan' and relname in (select jsonb_array_elements_text(${sql.json(logTables)}))
  order by 1`

/** Each run of autovacuum over a table of the log that is in the server's log: log_autovacuum_min_duration has to be 0. */
export const vacuumsIn = async (log: string) => {
  const text = await Bun.file(log).text()
  const runs = text.matchAll(
    /automatic vacuum of table "[^"]*\.kairan\.(\w+)": index scans: (\d+)[\s\S]*?system usage: CPU: user: ([\d.]+) s, system: ([\d.]+) s, elapsed: ([\d.]+) s/g,
  )
  return [...runs].map(([, table = '', scans, user, system, elapsed]) => ({
    table,
    indexScans: Number(scans),
    cpuSeconds: Number(user) + Number(system),
    seconds: Number(elapsed),
  }))
}
