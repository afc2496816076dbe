import { expect, test } from 'bun:test'
import { createChanges } from '../../src/log/changes.ts'
import { lookAtChanges } from '../../src/log/user-change-store.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import { migrated } from '../support/schema.ts'

test('what was told of users is read a few megabytes at a time, all of it, and passed on if it is little', async () => {
  await using db = await migrated()
  const database = createDatabase(db.url, {
    max: 1,
    name: 'test',
    direct: true,
    deadlineMs: 10_000,
  })
  const withdrawn: string[] = []
  let pages = 0
  const changes = createChanges({
    database,
    onChange: () => undefined,
    onWithdrawn(some) {
      pages++
      withdrawn.push(...some.map(({ id }) => id))
    },
    onWithdrawnLost: () => undefined,
    onChangesLost: () => undefined,
  })
  await changes.read(true, true)
  await changes.read(true, true)
  expect(changes.take()?.told).toEqual([])
  /** What withdrawing a notification on a thousand channels with long names tells. */
  const tell = (from: number, to: number, channels: number) => db.sql`
    select kairan.tell(jsonb_build_object('action', 'withdrawn', 'id', n::text, 'channels', names))
    from generate_series(${from}::int, ${to}::int) n,
      (select array_agg(repeat('🎉', 240) || c) as names from generate_series(1, ${channels}::int) c) c`
  const numbers = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, index) => String(from + index))

  await tell(1, 20, 1000)
  const look = await database.run(sql => lookAtChanges(sql, changes.seen, 0))
  expect(look.told.map(({ change }) => Buffer.byteLength(change) > 960_000)).toEqual(
    Array(5).fill(true),
  )
  expect(look.after).not.toBeNull()
  await changes.read(true, true)
  expect(withdrawn).toEqual(numbers(1, 20))
  expect(pages).toBe(4)
  // Too much for a relay: the others read it.
  expect(changes.take()?.told).toEqual([])

  await tell(21, 40, 1)
  await changes.read(true, true)
  expect(withdrawn).toEqual(numbers(1, 40))
  expect(pages).toBe(5)
  expect(changes.take()?.told).toHaveLength(20)
  await database.stop()
})
