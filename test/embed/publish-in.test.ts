import { afterAll, beforeAll, expect, test } from 'bun:test'
import { SQL } from 'bun'
import postgres from 'postgres'
import { connect as connectDrizzlePg } from '../../docs/recipes/drizzle.pg.ts'
import { connect as connectDrizzle } from '../../docs/recipes/drizzle.ts'
import { connect as connectKysely } from '../../docs/recipes/kysely.ts'
import { drizzle as drizzleBun } from '../../docs/recipes/node_modules/drizzle-orm/bun-sql/index.js'
import { connect as connectPg } from '../../docs/recipes/pg.ts'
import { createKairan, type Kairan, type Transaction } from '../../src/embed/index.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { options } from '../support/embedded.ts'

type Work = (tx: Transaction) => Promise<unknown>

/** How each client runs work in a transaction. */
const clients: Record<string, (url: string, work: Work) => Promise<unknown>> = {
  async 'postgres.js'(url, work) {
    const sql = postgres(url, { max: 1 })
    try {
      await sql.begin(work)
    } finally {
      await sql.end()
    }
  },
  async "Bun's SQL"(url, work) {
    const sql = new SQL(url, { max: 1 })
    try {
      await sql.begin(work)
    } finally {
      await sql.end()
    }
  },
  async Kysely(url, work) {
    const db = connectKysely(url)
    try {
      await db.transaction().execute(work)
    } finally {
      await db.destroy()
    }
  },
  async 'Drizzle with postgres.js'(url, work) {
    const db = connectDrizzle(url)
    try {
      await db.transaction(work)
    } finally {
      await db.$client.end()
    }
  },
  async 'Drizzle with pg'(url, work) {
    const db = connectDrizzlePg(url)
    try {
      await db.transaction(work)
    } finally {
      await db.$client.end()
    }
  },
  async "Drizzle with Bun's SQL"(url, work) {
    const sql = new SQL(url, { max: 1 })
    try {
      await drizzleBun({ client: sql }).transaction(work)
    } finally {
      await sql.end()
    }
  },
  async pg(url, work) {
    const pool = connectPg(url)
    const client = await pool.connect()
    try {
      await client.query('begin')
      await work(client)
      await client.query('commit')
    } finally {
      client.release(true)
      await pool.end()
    }
  },
}

let db: TestDatabase
let kairan: Kairan
beforeAll(async () => {
  db = await database()
  kairan = createKairan(options(db))
  await kairan.start()
})
afterAll(async () => {
  await kairan.stop()
  await db[Symbol.asyncDispose]()
})

const stored = (key: string) => db.sql`
  select id, channels, payload, type, expires_at from kairan.notifications where dedupe_key = ${key}`

for (const [name, transact] of Object.entries(clients)) {
  test(`publishIn publishes in a transaction of ${name}: all of it, or nothing`, async () => {
    const expiresAt = new Date('2100-01-02T03:04:05Z')
    const how = { type: "it's; --", dedupeKey: name, expiresAt }
    const payload = {
      text: `'); drop table kairan.members; -- $1 ? :x`,
      deep: { list: [1, null, 'ü'] },
    }
    let id = ''
    await transact(db.url, async tx => {
      const published = await kairan.publishIn(tx, ['user-1', 'all-users'], payload, how)
      id = published.id
      expect(await stored(name)).toHaveLength(0)
    })
    expect(await stored(name)).toMatchObject([
      { id, channels: ['user-1', 'all-users'], payload, type: how.type, expires_at: expiresAt },
    ])
    const rolledBack = transact(db.url, async tx => {
      await kairan.publishIn(tx, 'user-1', {}, { dedupeKey: `${name} 2` })
      throw new Error('no order')
    })
    await expect(rolledBack).rejects.toThrow('no order')
    expect(await stored(`${name} 2`)).toHaveLength(0)
  })
}

for (const [name, transact] of Object.entries(clients)) {
  test(`sends later, and withdraws in a transaction of ${name}: or does neither`, async () => {
    const sendAt = new Date('2100-01-02T03:04:05Z')
    const sent = async (id: string) =>
      (await db.sql`select send_at from kairan.scheduled where id = ${id}`).map(row => row.send_at)
    let id = ''
    await transact(db.url, async tx => {
      id = (await kairan.publishIn(tx, 'user-1', {}, { sendAt })).id
    })
    expect(await sent(id)).toEqual([sendAt])
    const rolledBack = transact(db.url, async tx => {
      expect(await kairan.withdrawIn(tx, id)).toBe(true)
      throw new Error('not yet')
    })
    await expect(rolledBack).rejects.toThrow('not yet')
    expect(await sent(id)).toEqual([sendAt])
    await transact(db.url, async tx => {
      expect(await kairan.withdrawIn(tx, id)).toBe(true)
      expect(await kairan.withdrawIn(tx, id)).toBe(false)
    })
    expect(await sent(id)).toEqual([])
  })
}

test('publish sends later, and withdraw takes back', async () => {
  const later = await kairan.publish('user-1', {}, { sendAt: '2100-01-02T03:04:05Z' })
  const now = await kairan.publish('user-1', {})
  for (const { id } of [later, now]) {
    expect(await kairan.withdraw(id)).toBe(true)
    expect(await kairan.withdraw(id)).toBe(false)
  }
  const [row] =
    await db.sql`select expires_at = '-infinity' as gone from kairan.notifications where id = ${now.id}`
  expect(row?.gone).toBe(true)
  await expect(kairan.withdraw('x')).rejects.toThrow('UUID')
})

test('publishIn refuses what is no transaction, and what is no notification', async () => {
  // As a program in JavaScript can call it.
  for (const wrong of [null, undefined, {}, 'tx', () => undefined]) {
    const call: Promise<unknown> = Reflect.apply(kairan.publishIn, null, [wrong, 'user-1', {}])
    await expect(call).rejects.toThrow('publishIn takes a transaction of postgres.js')
  }
  await using one = {
    sql: postgres(db.url, { max: 1 }),
    [Symbol.asyncDispose]: () => one.sql.end(),
  }
  const published = one.sql.begin(tx => kairan.publishIn(tx, 'nowhere at all', {}))
  await expect(published).rejects.toThrow('kairan: ')
})

test('publish says what is wrong, keeps a dedupeKey, and waits for a start', async () => {
  const wrong = kairan.publish('user-1', { metadata: 7 }).catch(error => error)
  expect(await wrong).toMatchObject({ code: 'bad_notification' })
  const first = await kairan.publish('user-1', {}, { dedupeKey: 'once' })
  const second = await kairan.publish('user-1', {}, { dedupeKey: 'once' })
  expect([first.repeated, second]).toEqual([false, { id: first.id, repeated: true }])
  const other = createKairan(options(db))
  expect(await other.publish('user-1', {}).catch(error => error.message)).toContain('call start()')
  const started = other.start()
  expect((await other.publish('user-1', {})).id).toBeString()
  await started
  await other.stop()
  expect(await other.publish('user-1', {}).catch(error => error.message)).toBe('Kairan was stopped')
})

test('publish takes a thousand notifications at once', async () => {
  const all = Array.from({ length: 1000 }, (_, n) => kairan.publish('user-77', { n }))
  expect(new Set((await Promise.all(all)).map(({ id }) => id)).size).toBe(1000)
})
