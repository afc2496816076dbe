import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type postgres from 'postgres'
import { migrated } from '../support/schema.ts'

/** The log: one channel has a third of it, 200 have the rest. */
const log = 60_000

type Shape = {
  channels: number
  isBigToo: boolean
  types: string[] | null
  /** Stretches that are left unread and unarchived: one of `every` positions, `length` long. */
  unread: { every: number; length: number } | 'all' | 'none'
  archived: { every: number; length: number } | null
  muted: string[]
  before: number
  unreadOnly: boolean
  archivedOnly: boolean
}

const stretches = fc.record({
  every: fc.constantFrom(7, 60, 500, 5000),
  length: fc.constantFrom(1, 3, 40),
})
const shape: fc.Arbitrary<Shape> = fc.record({
  channels: fc.constantFrom(1, 2, 20, 50, 150),
  isBigToo: fc.boolean(),
  types: fc.constantFrom(null, null, ['rare'], ['t1'], ['none', 'nor this', 't2']),
  unread: fc.oneof(stretches, fc.constantFrom('all' as const, 'none' as const)),
  archived: fc.option(stretches),
  muted: fc.constantFrom<string[]>([], [], ['t1', 't2', 't3'], ['t%'], ['%']),
  before: fc.constantFrom(log + 1, log / 2, 300),
  unreadOnly: fc.boolean(),
  archivedOnly: fc.boolean(),
})

test('reads about as many blocks as it shows deliveries, whatever a user has read, archived and muted', async () => {
  await using db = await migrated()
  const { sql } = db
  await fill(sql)
  await fc.assert(
    fc.asyncProperty(shape, async each => {
      await prepare(sql, each)
      const blocks = await blocksOf(sql, each)
      expect(blocks).toBeLessThan(mayRead(each))
    }),
    { numRuns: Number(process.env.RUNS ?? 80), seed: Number(process.env.SEED ?? 1) },
  )
}, 120_000)

/**
 * To count is to look at 1,000 that are unread; what is on the page comes on top, and what is muted or has expired. To
 * find one takes a block of the table, and where it is apart some of the index; to find where a channel ends takes
 * three.
 */
const mayRead = ({ channels, types, unread, archived, muted }: Shape) => {
  const sources = channels * (1 + (types?.length ?? 0))
  const apart = [unread, archived].map(s =>
    s === null || typeof s === 'string' ? 0 : Math.min(log / s.every, 6000),
  )
  const looked = muted.length === 0 ? 2500 : 9000
  return 500 + looked + 8 * sources + 5 * Math.max(...apart)
}

const fill = async (sql: postgres.Sql) => {
  await sql`
    insert into kairan.notifications (channels, payload, type, expires_at)
    select array[case when n % 3 = 0 then 'big' else 'c-' || n * 7919 % 200 end], '{}',
      case when n % 3001 = 0 then 'rare' else 't' || n % 7 end,
      case when n % 11 = 0 then now() - interval '1 hour' end
    from generate_series(1, ${log}::int) n order by n`
  await sql`select kairan.number(${log}::int, 0)`
  await sql`vacuum analyze kairan.numbered`
  await sql`vacuum analyze kairan.notifications`
}

const rangesOf = ({ every, length }: { every: number; length: number }) => `(
  select range_agg(int8range(n, n + ${length}))
  from (select n from generate_series(1, ${log}, ${every}) n order by n desc limit 9000) n)`

const prepare = async (sql: postgres.Sql, { unread, archived, muted }: Shape) => {
  await sql`delete from kairan.mutes`
  for (const type of muted) {
    await sql`insert into kairan.mutes (user_id, type) values ('1', ${type.replace('%', '*')})`
  }
  const all = `'{[0,${log + 1})}'::int8multirange`
  const read = unread === 'all' ? `'{}'` : unread === 'none' ? all : `${all} - ${rangesOf(unread)}`
  await sql`delete from kairan.inboxes`
  await sql.unsafe(`
    insert into kairan.inboxes (user_id, read, archived)
    values ('1', ${read}, ${archived === null ? `'{}'` : rangesOf(archived)})`)
}

const blocksOf = async (sql: postgres.Sql, each: Shape) => {
  const names = Array.from({ length: each.channels }, (_, n) => `c-${n}`)
  if (each.isBigToo) names.push('big')
  const ask = `
    select from kairan.inbox_page('1', '{${names.join()}}',
      ${each.types === null ? 'null' : `'{${each.types.join()}}'`},
      ${each.before}, ${each.unreadOnly}, ${each.archivedOnly}, 20)`
  const count = async () => {
    const [row] = await sql.unsafe(`explain (analyze, buffers, timing off, format json) ${ask}`)
    const plan = row?.['QUERY PLAN'][0].Plan
    return Number(plan['Shared Hit Blocks']) + Number(plan['Shared Read Blocks'])
  }
  // In a new session, or one whose caches were emptied, the catalogue is read, too.
  return Math.min(await count(), await count())
}
