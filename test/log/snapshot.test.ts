import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { covers, isSnapshot, sees } from '../../src/log/snapshot.ts'
import { migrated } from '../support/schema.ts'

const snapshot = fc
  .record({
    end: fc.integer({ min: 2, max: 14 }),
    open: fc.uniqueArray(fc.integer({ min: 1, max: 14 })),
  })
  .map(({ end, open }) => {
    const inside = open.filter(xid => xid < end).toSorted((a, b) => a - b)
    return `${inside[0] ?? end}:${end}:${inside.join(',')}`
  })

const xids = Array.from({ length: 16 }, (_, xid) => xid)

test('a snapshot covers another when it sees every transaction that the other one sees', () => {
  fc.assert(
    fc.property(snapshot, snapshot, (later, earlier) => {
      const all = xids.every(xid => !sees(earlier, BigInt(xid)) || sees(later, BigInt(xid)))
      expect(covers(later, earlier)).toBe(all)
    }),
    { numRuns: 2000 },
  )
})

test('it sees what Postgres says that it sees', async () => {
  await using db = await migrated()
  const snapshots = fc.sample(snapshot, 100)
  const rows = await db.sql`
    select s, x, pg_visible_in_snapshot(x::text::xid8, s::pg_snapshot) as seen
    from unnest(${snapshots}::text[]) s cross join generate_series(1, 15) x`
  for (const { s, x, seen } of rows) expect([s, x, sees(s, BigInt(x))]).toEqual([s, x, seen])
  expect(snapshots.every(isSnapshot)).toBe(true)
})
