import { expect, test } from 'bun:test'
import { createDecisions } from '../../src/follow-up/decisions-store.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import { eventually } from '../support/eventually.ts'
import { migrated } from '../support/schema.ts'

test('what is too much to be decided in the time of one statement is decided in several', async () => {
  await using db = await migrated()
  const rows = 40
  await db.sql`
    insert into kairan.notifications (channels, payload, follow_up_after)
    select '{user-1}', '{}', '1 hour' from generate_series(1, ${rows}::int)`
  await db.sql`select from kairan.number()`
  await db.sql`update kairan.follow_up_due set due_at = now() - interval '1 second'`
  // As it may take to find out what a user with very many receipts has received.
  await db.sql.unsafe(`
    create function take_time() returns trigger language plpgsql as $$ begin perform pg_sleep(0.05); return new; end $$;
    create trigger take_time before insert on kairan.follow_ups for each row execute function take_time()`)
  const warned: unknown[] = []
  let made = 0
  const database = createDatabase(db.url, { max: 1, name: 'test', direct: true, deadlineMs: 1200 })
  const decisions = createDecisions({
    database,
    everyMs: 10,
    isNeeded: () => true,
    onDecided(some) {
      made += some
    },
    report: { error: console.error, warn: facts => warned.push(facts), info: () => undefined },
  })
  decisions.start()
  await eventually(() => made === rows)
  await decisions.stop()
  await database.stop()
  expect(await db.sql`select from kairan.follow_ups`).toHaveLength(rows)
  expect(JSON.stringify(warned[0])).toContain('statement')
})
