import { expect, setDefaultTimeout, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

setDefaultTimeout(90_000)

test('what is too much to be numbered in the time of one statement is numbered in several', async () => {
  await using db = await database()
  await using service = await serve(db)
  await using client = await openReady(service.url, { token: await tokenFor('1') })
  // As thousands of channels with long names would.
  await db.sql.unsafe(`
    create function take_time() returns trigger language plpgsql as $$ begin perform pg_sleep(0.03); return new; end $$;
    create trigger take_time before insert on kairan.numbered for each row execute function take_time()`)
  const rows = 100
  await db.sql`
    insert into kairan.notifications (channels, payload)
    select '{user-1}', jsonb_build_object('n', n) from generate_series(1, ${rows}::int) n`
  await eventually(() => client.events.length === rows, 60_000)
  expect(client.events.map(({ payload }) => payload.n)).toEqual(
    Array.from({ length: rows }, (_, index) => index + 1),
  )
  expect(client.ended).toBe(false)
  expect(JSON.stringify(service.logs)).toContain('The log can not be read.')
})
