import { expect, test } from 'bun:test'
import postgres from 'postgres'
import { eventually } from '../support/eventually.ts'
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
  [`array['user-1*', 'org-*']`, `'{}'`, invalid, 'unknown channel "org-*"'],
  [`array['all-users ']`, `'{}'`, invalid, 'unknown channel "all-users "'],
  [`array['or ders']`, `'{}'`, invalid, 'unknown channel "or ders"'],
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
    for (const statement of [
      `select kairan.publish('user-1', '{}', ${name} => ${value})`,
      `insert into kairan.notifications (channels, payload, ${name}) values ('{user-1}', '{}', ${value})`,
    ]) {
      const error = await failure(statement)
      expect([error.code, error.message]).toEqual([
        invalid,
        expect.stringContaining(`the ${name} has`),
      ])
      expect(error.hint?.length).toBeGreaterThan(10)
    }
  }
  expect(await db.sql`select from kairan.notifications`).toHaveLength(0)
})

test('takes a payload of exactly max_event_bytes, and not one byte more', async () => {
  await using db = await migrated()
  await db.sql`select setval('kairan.max_event_bytes', 100)`
  const bytes = (n: number) => db.sql.json({ a: `é${'x'.repeat(n - 11)}` })
  await db.sql`select kairan.publish('user-1', ${bytes(100)})`
  await db.sql`insert into kairan.notifications (channels, payload) values ('{user-1}', ${bytes(100)})`
  const message = 'kairan: the payload has 101 bytes, more than the 100 that are allowed'
  const refusal = { code: tooLarge, message, hint: expect.stringContaining('MAX_EVENT_BYTES') }
  for (const statement of [
    db.sql`select kairan.publish('user-1', ${bytes(101)})`,
    db.sql`insert into kairan.notifications (channels, payload) values ('{user-1}', ${bytes(101)})`,
    db.sql`update kairan.notifications set payload = ${bytes(101)}`,
  ]) {
    await expect(statement.execute()).rejects.toMatchObject(refusal)
  }
  const rows = await db.sql`select bytes from kairan.notifications`
  expect(rows.map(row => row.bytes)).toEqual([100, 100])
})

test('takes the parameters of a driver as they come: by place or by name, one channel or several', async () => {
  await using db = await migrated()
  const { sql } = db
  const payload = sql.json({ a: 1 })
  const [one, two] = ['user-1', ['user-1', 'user-2']]
  const soon = new Date('2100-01-01')
  await sql`select kairan.publish(${one}, ${payload})`
  await sql`select kairan.publish(${one}, ${payload}, ${'t'}, ${'k1'}, ${soon})`
  await sql`select kairan.publish(${one}, ${payload}, ${null}, ${null}, ${null})`
  await sql`select kairan.publish(channel => ${one}, payload => ${payload}, dedupe_key => ${'k2'})`
  await sql`select kairan.publish(${two}::text[], ${payload}, ${'t'})`
  await sql`select kairan.publish(${sql.array(two)}, ${payload})`
  await sql`select kairan.publish(channels => ${two}, payload => ${payload}, expires_at => ${soon})`
  await sql`select kairan.try_publish(payload => ${payload}, channel => ${one}, type => ${'t'})`
  await sql`select kairan.try_publish(channels => ${two}, payload => ${payload})`
  await sql`insert into kairan.notifications ${sql({ channels: two, payload: { a: 1 }, type: 't' })}`

  const rows = await sql`
    select concat_ws(' ', channels, payload, type, dedupe_key, extract(year from expires_at)) as row
    from kairan.notifications order by created_at`
  expect(rows.map(({ row }) => row)).toEqual([
    '{user-1} {"a": 1}',
    '{user-1} {"a": 1} t k1 2100',
    '{user-1} {"a": 1}',
    '{user-1} {"a": 1} k2',
    '{user-1,user-2} {"a": 1} t',
    '{user-1,user-2} {"a": 1}',
    '{user-1,user-2} {"a": 1} 2100',
    '{user-1} {"a": 1} t',
    '{user-1,user-2} {"a": 1}',
    '{user-1,user-2} {"a": 1} t',
  ])
})

test('tells a driver that encoded twice, or sent an array without its type, what to do', async () => {
  await using db = await migrated()
  const text = JSON.stringify({ a: 1 })
  await expect(
    db.sql`select kairan.publish('user-1', ${text}::jsonb)`.execute(),
  ).rejects.toMatchObject({
    code: invalid,
    message: expect.stringContaining('encoded as JSON twice: "{\\"a\\":1}"'),
    hint: expect.stringContaining('sql.json(payload)'),
  })
  await db.sql`select kairan.publish('user-1', ${text}::text::jsonb)`

  await expect(
    db.sql`select kairan.publish(${['user-1', 'user-2']}, '{}')`.execute(),
  ).rejects.toMatchObject({
    message: 'kairan: unknown channel "user-1,user-2"',
    hint: expect.stringContaining('$1::text[]'),
  })
})

test('tells a publisher whose channel is null because a value in it is', async () => {
  await using db = await migrated()
  await expect(
    db.sql`select kairan.publish('user-' || ${null}::text, '{}')`.execute(),
  ).rejects.toMatchObject({
    message: 'kairan: unknown channel "null"',
    hint: expect.stringContaining("as in 'user-' || null"),
  })
})

test('stores a payload of 60 KB as it was, whatever is in it', async () => {
  await using db = await migrated()
  const text = `{"__proto__":{"polluted":true},"constructor":null,${JSON.stringify({
    lines: 'a\nb\r\nc\rd\n\ndata: forged\n\n',
    separators: '\u2028\u2029\u0085\ufeff',
    emoji: '👩‍👩‍👧‍👦 回覧',
    filling: 'é\n"'.repeat(9_900),
  }).slice(1)}`
  expect(Buffer.byteLength(text)).toBeGreaterThan(59_000)
  const payload: postgres.JSONValue = JSON.parse(text)
  await db.sql`select kairan.publish('user-1', ${db.sql.json(payload)})`
  const [row] = await db.sql`select payload, payload::text as text from kairan.notifications`
  expect(row?.payload).toEqual(payload)
  expect(Object.keys(row?.payload).toSorted()).toEqual(Object.keys(JSON.parse(text)).toSorted())
  expect(Buffer.byteLength(row?.text)).toBeGreaterThan(59_000)
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
  const rows = await db.sql`select channel from kairan.deliveries`
  expect(rows.map(({ channel }) => channel)).toEqual(ids.map(id => `user-${id}`))
})

test('try_publish warns instead, and the transaction goes on', async () => {
  await using db = await migrated()
  const notices: postgres.Notice[] = []
  const sql = postgres(db.url, { max: 1, onnotice: notice => notices.push(notice) })
  const result = await sql.begin(async tx => {
    await tx`select kairan.publish('user-1', '{"n": 1}')`
    const [row] = await tx`select kairan.try_publish('no body', '{}') as id`
    await tx`select kairan.try_publish(array['user-1'], '{"n": 2}')`
    return row
  })
  await sql.end()
  expect(result?.id).toBeNull()
  expect(notices).toMatchObject([
    { severity: 'WARNING', code: invalid, message: 'kairan: unknown channel "no body"' },
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

test('a dedupe_key is free again when its first publisher rolls back, or its notification is removed', async () => {
  await using db = await migrated()
  const publish = (sql: postgres.Sql) =>
    sql`select kairan.publish('user-1', '{}', dedupe_key => 'k') as id`
  const first = await db.sql.reserve()
  await first`begin`
  const [lost] = await publish(first)
  const waiting = publish(db.sql).execute()
  await eventually(async () => {
    const locks = await db.sql`
      select from pg_locks where not granted and locktype = 'transactionid'
        and pid in (select pid from pg_stat_activity where datname = current_database())`
    return locks.length > 0
  })
  await first`rollback`
  first.release()
  const [kept] = await waiting
  expect(kept?.id).not.toBe(lost?.id)
  expect((await publish(db.sql))[0]?.id).toBe(kept?.id)

  await db.sql`delete from kairan.notifications`
  const [again] = await publish(db.sql)
  expect(again?.id).not.toBe(kept?.id)
  const rows = await db.sql`select notification_id from kairan.deliveries`
  expect(rows.map(row => row.notification_id)).toEqual([again?.id])
})

test('a dedupe_key is compared exactly, whatever the collation of the column that it comes from', async () => {
  await using db = await migrated()
  await db.sql.unsafe(`
    create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table orders (key text collate loose);
    insert into orders values ('a')`)
  await db.sql`select kairan.publish('user-1', '{}', dedupe_key => 'A')`
  const [first] = await db.sql`select kairan.publish('user-1', '{}', dedupe_key => 'a') as id`
  const [again] = await db.sql`
    select kairan.publish('user-1', '{}', dedupe_key => key) as id from orders`
  expect(again?.id).toBe(first?.id)
})

test('returns no id, and does not try for ever, where a trigger of the operator keeps rows out', async () => {
  await using db = await migrated()
  await db.sql.unsafe(`
    create function mute() returns trigger language plpgsql as 'begin return null; end';
    create trigger mute before insert on kairan.notifications for each row execute function mute()`)
  const ids = await db.sql.begin(async tx => {
    // It ends a test that has failed.
    await tx`set local statement_timeout = '5s'`
    return tx`select kairan.publish('user-1', '{}') as a, kairan.publish('user-1', '{}', null, 'k') as b`
  })
  expect([...ids]).toEqual([{ a: null, b: null }])
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(0)
})

test('takes 1,000 channels at once', async () => {
  await using db = await migrated()
  const channels = Array.from({ length: 1000 }, (_, index) => `user-${index}`)
  await db.sql`select kairan.publish(${channels}::text[], '{}')`
  const rows = await db.sql`select channel from kairan.deliveries`
  expect(rows.map(({ channel }) => channel)).toEqual(channels)
})

test('makes a delivery for each channel once, also of many rows at once', async () => {
  await using db = await migrated()
  await db.sql`select kairan.publish(array['user-2', 'all-users', 'user-2'], '{}')`
  const rows = await db.sql`select channel from kairan.deliveries`
  expect(rows.map(({ channel }) => channel)).toEqual(['user-2', 'all-users'])

  await db.sql`
    insert into kairan.notifications (channels, payload)
    select array['user-' || i, 'all-users'], jsonb_build_object('i', i) from generate_series(1, 5000) i`
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(10_002)

  await db.sql`delete from kairan.notifications where payload ? 'i'`
  expect(await db.sql`select from kairan.deliveries`).toHaveLength(2)
})

test('refuses a created_at that would keep the log for ever, and takes an old one', async () => {
  await using db = await migrated()
  const insert = (createdAt: string) =>
    db.sql`insert into kairan.notifications (channels, payload, created_at) values ('{user-1}', '{}', ${createdAt}::text::timestamptz)`
  for (const bad of ['infinity', '-infinity', '2126-01-01', '0044-03-15 BC', '58868-01-01']) {
    await expect(insert(bad).then(() => bad)).rejects.toThrow(
      'created_at lies before 1970 or in the future',
    )
  }
  await insert('2001-01-01')
})
