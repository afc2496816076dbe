import { expect, test } from 'bun:test'
import { migrate } from '../../src/postgres/migrate.ts'
import { denied, login, stateOf } from '../support/logins.ts'
import { rightsOf } from '../support/rights.ts'
import { migrated } from '../support/schema.ts'

test('a publisher can publish, and nothing else', async () => {
  await using db = await migrated()
  await using publisher = await login(db, 'kairan_publisher')
  expect(await rightsOf(db, publisher)).toEqual([
    'execute examine',
    'execute publish',
    'execute publish_row',
    'execute published_as',
    'execute try_publish',
    'execute withdraw',
    'insert notifications.channels',
    'insert notifications.created_at',
    'insert notifications.dedupe_key',
    'insert notifications.expires_at',
    'insert notifications.follow_up_after',
    'insert notifications.id',
    'insert notifications.payload',
    'insert notifications.traceparent',
    'insert notifications.type',
    'insert scheduled.channels',
    'insert scheduled.dedupe_key',
    'insert scheduled.expires_at',
    'insert scheduled.follow_up_after',
    'insert scheduled.id',
    'insert scheduled.payload',
    'insert scheduled.send_at',
    'insert scheduled.traceparent',
    'insert scheduled.type',
    'read awake_until',
    'read max_event_bytes',
    'select notifications.id',
    'select scheduled.id',
  ])
})

test('a reader reads notifications, deliveries and who is online, and writes nothing', async () => {
  await using db = await migrated()
  await using reader = await login(db, 'kairan_reader')
  const columns = await db.sql`
    select 'select ' || relname || '.' || attname as right
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace = 'kairan'::regnamespace
      and c.relname in ('notifications', 'deliveries', 'presence', 'confirmations', 'mutes')`
  expect(await rightsOf(db, reader)).toEqual([
    'execute covers',
    'execute is_muted',
    'execute presence_of',
    'execute unnumbered',
    ...columns.map(({ right }) => right).toSorted(),
  ])
})

test('a follower takes and finishes follow-ups, and does nothing else', async () => {
  await using db = await migrated()
  await using follower = await login(db, 'kairan_follower')
  const columns = await db.sql`
    select 'select ' || relname || '.' || attname as right
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace = 'kairan'::regnamespace and c.relname = 'follow_ups'`
  expect(await rightsOf(db, follower)).toEqual(
    [
      'execute finish_follow_up',
      'execute postpone_follow_up',
      'execute take_follow_ups',
      'select notifications.expires_at',
      'select notifications.id',
      ...columns.map(({ right }) => right),
      'update follow_ups.attempts',
      'update follow_ups.available_at',
      'update follow_ups.error',
      'update follow_ups.finished_at',
      'update follow_ups.first_taken_at',
      'update follow_ups.taken_at',
      'update follow_ups.taken_by',
    ].toSorted(),
  )
})

test('who has none of the roles can do nothing, and neither can PUBLIC', async () => {
  await using db = await migrated()
  await using stranger = await login(db)
  expect(await rightsOf(db, stranger)).toEqual([])
  // A login that can name things in the schema still finds nothing that is everybody's.
  await db.sql.unsafe(`grant usage on schema kairan to ${stranger.name}`)
  expect(await rightsOf(db, stranger)).toEqual([])
})

test('a publisher publishes in every way', async () => {
  await using db = await migrated()
  await using publisher = await login(db, 'kairan_publisher')
  const { sql } = publisher
  const ids = await sql`
    select kairan.publish('user-1', '{"n": 1}', 'a', dedupe_key => 'once') as id
    union all select kairan.publish('{user-1,user-2,user-1}'::text[], '{"n": 2}')
    union all select kairan.try_publish('user-1', '{"n": 3}', expires_at => now() + interval '1 day')
    union all select kairan.try_publish('{all-users}'::text[], '{"n": 4, "metadata": {}}')`
  expect(new Set(ids.map(({ id }) => id)).size).toBe(4)
  const [inserted] = await sql`
    insert into kairan.notifications (channels, payload, type) values ('{user-1}', '{"n": 5}', 'row')
    returning id`
  expect(inserted?.id).toMatch(/^.{14}7/)
  await sql`
    insert into kairan.notifications (id, channels, payload, created_at)
    values (gen_random_uuid(), '{user-1,user-1}', '{"n": 6}', now())`
  await sql
    .unsafe(`copy kairan.notifications (channels, payload) from stdin`)
    .writable()
    .then(async stream => {
      stream.end('{user-1}\t{"n": 7}\n')
      await new Promise((resolve, reject) => stream.on('finish', resolve).on('error', reject))
    })
  expect([...(await sql`select kairan.try_publish('no where', '{}') as id`)]).toEqual([
    { id: null },
  ])

  // A key is its publisher's: another one's is another key, and nobody is told of keys that are not theirs.
  await using other = await login(db, 'kairan_publisher')
  const [own] = await other.sql`
    select kairan.publish('user-1', '{"n": 1}', 'a', dedupe_key => 'once') as id`
  expect(own?.id).not.toBe(ids[0]?.id)
  expect(
    await stateOf(other.sql`
      select kairan.published_as(${`role:${publisher.name}`}, 'once', '{user-1}', '{"n": 1}', 'a')`),
  ).toBe(denied)
  await db.sql`delete from kairan.notifications where id = ${own?.id}`

  const rows = await db.sql`
    select n.payload ->> 'n' as n, n.bytes > 0 as counted, array_agg(d.channel order by d.channel) as channels
    from kairan.notifications n join kairan.deliveries d on d.notification_id = n.id
    group by 1, 2 order by 1`
  expect(rows.map(({ n, channels }) => `${n} ${channels}`)).toEqual([
    '1 user-1',
    '2 user-1,user-2',
    '3 user-1',
    '4 all-users',
    '5 user-1',
    '6 user-1',
    '7 user-1',
  ])
  expect(rows.every(({ counted }) => counted)).toBe(true)
})

test('a trigger publishes for whoever writes the row', async () => {
  await using db = await migrated()
  await using shop = await login(db, 'kairan_publisher')
  await using clerk = await login(db)
  await db.sql.unsafe(`create schema shop authorization ${shop.name}`)
  await shop.sql.unsafe(`
    create table shop.orders (id int, user_id text);
    create trigger notify after insert on shop.orders for each row
      execute function kairan.publish_row('user-{user_id}', 'order.{op}');
    grant usage on schema shop to ${clerk.name};
    grant insert on shop.orders to ${clerk.name}`)
  await clerk.sql`insert into shop.orders values (7, 'a')`
  await shop.sql`insert into shop.orders values (8, 'b')`
  expect([
    ...(await db.sql`select channels, payload, type from kairan.notifications order by place`),
  ]).toEqual([
    { channels: ['user-a'], payload: { id: 7, user_id: 'a' }, type: 'order.insert' },
    { channels: ['user-b'], payload: { id: 8, user_id: 'b' }, type: 'order.insert' },
  ])
  expect(await stateOf(clerk.sql`select kairan.publish('user-a', '{}')`)).toBe(denied)
})

test('role levels and the end of streams can be granted alone', async () => {
  await using db = await migrated()
  await using accounts = await login(db)
  await db.sql.unsafe(`
    grant usage on schema kairan to ${accounts.name};
    grant select, insert, update, delete on kairan.roles to ${accounts.name};
    grant execute on function kairan.reauthorize(text), kairan.disconnect(text) to ${accounts.name}`)
  await accounts.sql`insert into kairan.roles values ('42', 100)`
  await accounts.sql`delete from kairan.roles`
  await accounts.sql`select kairan.reauthorize('42'), kairan.disconnect('42')`
  // The owner's next start leaves it alone.
  await migrate(db.url)
  await accounts.sql`insert into kairan.roles values ('42', 100)`
})
