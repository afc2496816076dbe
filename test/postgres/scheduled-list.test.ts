import { expect, test } from 'bun:test'
import type { ScheduledFilter } from '../../src/admin/scheduled.ts'
import { scheduledPage } from '../../src/admin/scheduled-store.ts'
import { connect } from '../../src/postgres/connect.ts'
import { migrated } from '../support/schema.ts'

/** SCHEDULED_ROWS=1000000 is the full size; of fewer rows the planner is told that there are so many. */
const rows = Number(process.env.SCHEDULED_ROWS ?? 20_000)
const pretended = 1_000_000

const everything = { state: null, channel: null, type: null, before: null, limit: 50 }

const pages: Record<string, ScheduledFilter> = {
  'the first page': everything,
  'what waits': { ...everything, state: 'waiting' },
  'what is overdue': { ...everything, state: 'overdue' },
  'what failed': { ...everything, state: 'failed' },
  'a type that is rare': { ...everything, type: 'rare' },
  'a channel': { ...everything, channel: 'user-19999' },
}

test(
  'the list of what is scheduled reads a bounded part of a million, also where all are due at the same moment',
  async () => {
    await using db = await migrated()
    await db.sql.unsafe(`
      -- Nobody else counts the rows of what is pretended to be larger.
      alter table kairan.scheduled set (autovacuum_enabled = off);
      alter table kairan.scheduled disable trigger user;
      insert into kairan.scheduled (id, channels, payload, type, send_at, error)
      select gen_random_uuid(), array['user-' || n], '{"n": 1}', 'sale', now() + case n % 4
          when 0 then interval '-1 hour' when 1 then n * interval '1 second' else interval '1 day'
        end, case when n % 8 = 0 then 'no' end
      from generate_series(1, ${rows}) n;
      alter table kairan.scheduled enable trigger user;`)
    await db.sql`vacuum analyze kairan.scheduled`
    await db.sql`
      update pg_class set reltuples = reltuples * ${pretended / rows}::float8
      where oid = 'kairan.scheduled'::regclass
        or oid in (select indexrelid from pg_index where indrelid = 'kairan.scheduled'::regclass)`
    const sql = connect(db.url, { max: 1, name: 'test' })
    await sql`
      create temp table moment as
      select (extract(epoch from max(send_at)) * 1000000)::bigint || '_' || (array_agg(id order by id desc))[${rows / 10}::int] as place
      from kairan.scheduled where send_at = (select mode() within group (order by send_at) from kairan.scheduled)`
    const [middle] = await sql<{ place: string }[]>`select place from moment`
    const asked = {
      ...pages,
      'a page amid many of one moment': { ...everything, before: middle?.place ?? '' },
    }
    for (const [name, filter] of Object.entries(asked)) {
      const [row] = await sql<{ 'QUERY PLAN': { Plan: Node; 'Execution Time': number }[] }[]>`
        explain (analyze, buffers, format json) ${scheduledPage(sql, filter)}`
      const [plan] = row?.['QUERY PLAN'] ?? []
      const scans = nodesOf(plan?.Plan).filter(node => node['Relation Name'] === 'scheduled')
      expect(scans.length, name).toBeGreaterThan(0)
      for (const scan of scans) {
        expect(['Index Scan', 'Bitmap Heap Scan'], name).toContain(scan['Node Type'])
        const read = Number(scan['Actual Rows']) + Number(scan['Rows Removed by Filter'] ?? 0)
        expect(read, name).toBeLessThanOrEqual(5001)
      }
      if (process.env.SCHEDULED_ROWS) console.log(name, plan?.['Execution Time'], 'ms')
    }
    await sql.end()
  },
  60_000 + rows / 10,
)

type Node = {
  'Node Type': string
  'Relation Name'?: string
  Plans?: Node[]
  [fact: string]: unknown
}

/** The nodes of a plan, the root first. */
const nodesOf = (node: Node | undefined): Node[] =>
  node ? [node, ...(node.Plans ?? []).flatMap(nodesOf)] : []
