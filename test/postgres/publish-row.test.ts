import { expect, test } from 'bun:test'
import { migrated } from '../support/schema.ts'

const orders = async (trigger: string) => {
  const db = await migrated()
  await db.sql.unsafe(`
    create table orders (id int primary key, user_id text, status text, "Odd ""Name" text);
    create trigger notify ${trigger}`)
  return db
}

const published = async ({ sql }: Awaited<ReturnType<typeof migrated>>) => {
  const rows =
    await sql`select channels, type, payload from kairan.notifications order by created_at`
  return rows.map(({ channels, type, payload }) => ({ channels, type, payload }))
}

test('publishes inserts, updates and deletes to the channels of the row', async () => {
  await using db = await orders(`after insert or update or delete on orders for each row
    execute function kairan.publish_row('user-{user_id}, admin-dashboard', 'order.{op}', 'id, status')`)
  await db.sql`insert into orders values (1, '42', 'new')`
  await db.sql`update orders set status = 'sent'`
  await db.sql`delete from orders`
  const channels = ['user-42', 'admin-dashboard']
  expect(await published(db)).toEqual([
    { channels, type: 'order.insert', payload: { id: 1, status: 'new' } },
    { channels, type: 'order.update', payload: { id: 1, status: 'sent' } },
    { channels, type: 'order.delete', payload: { id: 1, status: 'sent' } },
  ])
})

test('sends the whole row when no columns are named, and nothing for a row that is nobody’s', async () => {
  await using db = await orders(`after insert on orders for each row
    execute function kairan.publish_row('user-{user_id}')`)
  await db.sql`insert into orders values (1, null, 'new', null), (2, '7', 'new', 'odd')`
  expect(await published(db)).toEqual([
    {
      channels: ['user-7'],
      type: null,
      payload: { id: 2, user_id: '7', status: 'new', 'Odd "Name': 'odd' },
    },
  ])
})

test('leaves the type out when it is empty, and sends all columns when none are named', async () => {
  await using db = await orders(`after insert on orders for each row
    execute function kairan.publish_row('all-users', '', 'id');
    create trigger notify_all after insert on orders for each row
    execute function kairan.publish_row('all-users', 'order', '')`)
  await db.sql`insert into orders values (1, '42', 'new')`
  expect(await published(db)).toEqual([
    { channels: ['all-users'], type: null, payload: { id: 1 } },
    {
      channels: ['all-users'],
      type: 'order',
      payload: { id: 1, user_id: '42', status: 'new', 'Odd "Name': null },
    },
  ])
})

test('publishes only to the channels of the row that are somebody’s', async () => {
  await using db = await orders(`after insert on orders for each row
    execute function kairan.publish_row('user-{user_id},user-{status},user-{id}', null, 'Odd "Name')`)
  await db.sql`insert into orders values (1, null, '42', ' x ')`
  expect(await published(db)).toMatchObject([
    { channels: ['user-42', 'user-1'], payload: { 'Odd "Name': ' x ' } },
  ])
})

test('refuses the write of a row whose value can not be a user id, and says the value', async () => {
  await using db = await orders(`after insert on orders for each row
    execute function kairan.publish_row('user-{user_id}')`)
  for (const userId of ['', 'a b', '1,user-2']) {
    await expect(db.sql`insert into orders values (1, ${userId})`.execute()).rejects.toMatchObject({
      code: '22023',
      message: `kairan: unknown channel "user-${userId}"`,
    })
  }
  expect(await db.sql`select from orders`).toHaveLength(0)
})

test('takes values as they are, whatever they look like', async () => {
  await using db = await orders(`after insert on orders for each row
    execute function kairan.publish_row('user-{user_id}', '{Odd "Name}-{status} {}{')`)
  await db.sql`insert into orders values (1, '{status}', '\\1', '{status}{user_id}&$1')`
  const [{ channels, type } = { channels: [], type: '' }] = await published(db)
  expect(channels).toEqual(['user-{status}'])
  expect(type).toBe('{status}{user_id}&$1-\\1 {}{')
})

test('says which column it does not find, and how it has to be called', async () => {
  const wrong: [trigger: string, message: string][] = [
    [
      `after insert on orders for each row execute function kairan.publish_row('user-{usr}')`,
      'names {usr}',
    ],
    [
      `after insert on orders for each row execute function kairan.publish_row('all-users', 'x', 'id,nope')`,
      'the column "nope"',
    ],
    [
      `before insert on orders for each row execute function kairan.publish_row('all-users')`,
      'trigger notify',
    ],
    [
      `after insert on orders for each statement execute function kairan.publish_row('all-users')`,
      'trigger notify',
    ],
    [`after insert on orders for each row execute function kairan.publish_row()`, 'trigger notify'],
  ]
  await using db = await orders('after insert on orders execute function kairan.publish_row()')
  for (const [trigger, message] of wrong) {
    await db.sql.unsafe(`drop trigger notify on orders; create trigger notify ${trigger}`)
    await expect(db.sql`insert into orders values (1)`.execute()).rejects.toMatchObject({
      message: expect.stringContaining(message),
      hint: expect.any(String),
    })
  }
})
