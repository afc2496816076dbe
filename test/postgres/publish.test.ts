import { expect, test } from 'bun:test'
import postgres from 'postgres'
import { migrated } from '../support/schema.ts'

const invalid = '22023'
const tooLarge = '54000'

/** Channels and payload as SQL, the errcode, and what the message has to say. */
const refused: [channels: string, payload: string, code: string, message: string][] = [
  [`'{}'`, `'{}'`, invalid, '1 to 1000 channels, not 0'],
  [`null`, `'{}'`, invalid, '1 to 1000 channels, not 0'],
  [`array_fill('all-users'::text, '{1001}')`, `'{}'`, invalid, '1 to 1000 channels, not 1001'],
  [`array['user-1', null]`, `'{}'`, invalid, 'unknown channel "null"'],
  [`array['']`, `'{}'`, invalid, 'unknown channel ""'],
  [`array['user-']`, `'{}'`, invalid, 'unknown channel "user-"'],
  [`array['user-1 2']`, `'{}'`, invalid, 'unknown channel "user-1 2"'],
  [`array['user-1,2']`, `'{}'`, invalid, 'unknown channel "user-1,2"'],
  [`array[E'user-1\\n']`, `'{}'`, invalid, 'unknown channel "user-1\n"'],
  [`array[E'user-1\\x7f']`, `'{}'`, invalid, 'unknown channel "user-1\x7f"'],
  [`array['user-' || repeat('x', 201)]`, `'{}'`, invalid, 'unknown channel "user-xxx'],
  [`array['User-1']`, `'{}'`, invalid, 'unknown channel "User-1"'],
  [`array['all-users ']`, `'{}'`, invalid, 'unknown channel "all-users "'],
  [`array['orders']`, `'{}'`, invalid, 'unknown channel "orders"'],
  [`'{user-1}'`, `'[1]'`, invalid, 'not a JSON object but array: [1]'],
  [`'{user-1}'`, `'7'`, invalid, 'not a JSON object but number: 7'],
  [`'{user-1}'`, `'"text"'`, invalid, 'not a JSON object but string: "text"'],
  [`'{user-1}'`, `'null'`, invalid, 'not a JSON object but null: null'],
  [`'{user-1}'`, `null`, invalid, 'not a JSON object but null: null'],
  [`'{user-1}'`, `'"{\\"a\\": 1}"'`, invalid, 'encoded as JSON twice: "{\\"a\\": 1}"'],
  [`'{user-1}'`, `'{"metadata": []}'`, invalid, 'metadata is not a JSON object but array: []'],
  [
    `'{user-1}'`,
    `jsonb_build_object('a', repeat('x', 65536))`,
    tooLarge,
    'has 65545 bytes, more than the 65536 that are allowed',
  ],
]

test('refuses what no stream could carry: the code, the value and what to do', async () => {
  await using db = await migrated()
  const failure = async (text: string) => {
    try {
      await db.sql.unsafe(text)
    } catch (error) {
      if (error instanceof postgres.PostgresError) return error
    }
    throw new Error(`Not refused: ${text}`)
  }
  for (const [channels, payload, code, message] of refused) {
    for (const statement of [
      `select kairan.publish(${channels}::text[], ${payload}::jsonb)`,
      `insert into kairan.notifications (channels, payload) values (${channels}, ${payload})`,
    ]) {
      const error = await failure(statement)
      expect([statement, error.code, error.message]).toEqual([
        statement,
        code,
        expect.stringContaining(message),
      ])
      expect(error.hint?.length).toBeGreaterThan(10)
    }
  }
  for (const [name, value] of [
    ['type', "''"],
    ['type', "repeat('x', 201)"],
    ['dedupe_key', "''"],
    ['dedupe_key', "repeat('x', 201)"],
  ]) {
    const error = await failure(`select kairan.publish('user-1', '{}', ${name} => ${value})`)
    expect([error.code, error.message]).toEqual([invalid, expect.stringContaining(name ?? '')])
  }
  expect(await db.sql`select from kairan.notifications`).toHaveLength(0)
})

test('takes every kind of user id that people have', async () => {
  await using db = await migrated()
  const ids = [
    '1',
    'a@b.example',
    'auth0|5f7c8ec7',
    '山田',
    'user-user-1',
    'x'.repeat(200),
    'o\'k"\\',
  ]
  for (const id of ids) await db.sql`select kairan.publish(${`user-${id}`}, '{}')`
  const rows = await db.sql`select channel from kairan.deliveries order by id`
  expect(rows.map(({ channel }) => channel)).toEqual(ids.map(id => `user-${id}`))
})

test('try_publish warns instead, and the transaction goes on', async () => {
  await using db = await migrated()
  const notices: postgres.Notice[] = []
  const sql = postgres(db.url, { max: 1, onnotice: notice => notices.push(notice) })
  const result = await sql.begin(async tx => {
    await tx`select kairan.publish('user-1', '{"n": 1}')`
    const [row] = await tx`select kairan.try_publish('nobody', '{}') as id`
    await tx`select kairan.try_publish(array['user-1'], '{"n": 2}')`
    return row
  })
  await sql.end()
  expect(result?.id).toBeNull()
  expect(notices).toMatchObject([
    { severity: 'WARNING', code: invalid, message: 'kairan: unknown channel "nobody"' },
  ])
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(2)
})

test('publishes with the transaction: not when it, or a savepoint in it, is rolled back', async () => {
  await using db = await migrated()
  await db.sql
    .begin(async tx => {
      await tx`select kairan.publish('user-1', '{}')`
      await tx`select 1 / 0`
    })
    .catch(() => undefined)
  await db.sql.begin(async tx => {
    await tx`select kairan.publish('user-1', '{"kept": true}')`
    await tx
      .savepoint(async inner => {
        await inner`select kairan.publish('user-1', '{"kept": false}')`
        throw new Error('roll back')
      })
      .catch(() => undefined)
  })
  const rows = await db.sql`select payload from kairan.notifications`
  expect(rows.map(({ payload }) => payload)).toEqual([{ kept: true }])
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(1)
})

test('a dedupe_key publishes once, however many try at the same time', async () => {
  await using db = await migrated()
  const publish = () => db.sql`select kairan.publish('user-1', '{}', dedupe_key => 'k') as id`
  const rows = await Promise.all(Array.from({ length: 20 }, publish))
  expect(new Set(rows.map(([row]) => row?.id)).size).toBe(1)
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(1)

  const strict = await Promise.allSettled(
    Array.from({ length: 10 }, () =>
      db.sql.begin('isolation level repeatable read', async tx => {
        await tx`select 1`
        return tx`select kairan.publish('user-1', '{}', dedupe_key => 'strict') as id`
      }),
    ),
  )
  for (const result of strict) {
    if (result.status === 'rejected') expect(result.reason.code).toBe('40001')
  }
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(2)
})

test('makes a delivery for each channel once, also of many rows at once', async () => {
  await using db = await migrated()
  await db.sql`select kairan.publish(array['user-2', 'all-users', 'user-2'], '{}')`
  const rows = await db.sql`select channel from kairan.deliveries order by id`
  expect(rows.map(({ channel }) => channel)).toEqual(['user-2', 'all-users'])

  await db.sql`
    insert into kairan.notifications (channels, payload)
    select array['user-' || i, 'all-users'], jsonb_build_object('i', i) from generate_series(1, 5000) i`
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(10_002)

  await db.sql`delete from kairan.notifications where payload ? 'i'`
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(2)
})
