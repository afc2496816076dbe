import { expect, test } from 'bun:test'
import { createScheduler } from '../../src/log/scheduler.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import { eventually } from '../support/eventually.ts'
import { migrated } from '../support/schema.ts'

test('what is too much to be published in the time of one statement is published in several', async () => {
  await using db = await migrated()
  const rows = 40
  await db.sql`
    insert into kairan.scheduled (channels, payload, send_at)
    select '{user-1}', '{}', now() from generate_series(1, ${rows}::int)`
  // As a payload of many megabytes would.
  await db.sql.unsafe(`
    create function take_time() returns trigger language plpgsql as $$ begin perform pg_sleep(0.05); return new; end $$;
    create trigger take_time before insert on kairan.notifications for each row execute function take_time()`)
  const warned: unknown[] = []
  const database = createDatabase(db.url, { max: 1, name: 'test', direct: true, deadlineMs: 1200 })
  const scheduler = createScheduler({
    database,
    everyMs: 10,
    isNeeded: () => true,
    report: { error: console.error, warn: facts => warned.push(facts), info: () => undefined },
  })
  scheduler.start()
  await eventually(async () => (await db.sql`select from kairan.scheduled`).length === 0)
  await scheduler.stop()
  await database.stop()
  expect(await db.sql`select from kairan.notifications`).toHaveLength(rows)
  expect(JSON.stringify(warned[0])).toContain('statement')
})
