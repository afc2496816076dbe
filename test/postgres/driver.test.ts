import { expect, test } from 'bun:test'
import { join } from 'node:path'
import postgres from 'postgres'
import { createDatabase } from '../../src/postgres/database.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

/** Works while the driver's backends are killed at random moments, until `enough` of them were. */
const whileKilling = async (
  url: string,
  name: string,
  enough: number,
  work: () => Promise<void>,
) => {
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  let killed = 0
  const kill = async () => {
    while (killed < enough) {
      const rows = await sql`
        select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${name}`
      killed += rows.length
      await Bun.sleep(Math.random() * 20)
    }
  }
  const killer = kill()
  while (killed < enough) await work()
  await killer
  await sql.end()
}

test('every slot of the pool works again after its backends were killed at every moment', async () => {
  await using db = await database()
  const max = 5
  const pool = createDatabase(db.url, { max, name: 'kairan pool test', deadlineMs: 10_000 })
  let answered = 0
  let failed = 0
  const ask = async (n: number) => {
    try {
      const [row] = await pool.run(sql => sql<{ n: number }[]>`select ${n}::int as n`)
      expect(row?.n).toBe(n)
      answered++
    } catch {
      failed++
    }
  }
  await whileKilling(db.url, 'kairan pool test', 200, async () => {
    await Promise.all(Array.from({ length: 10 }, (_, index) => ask(index)))
  })
  expect(failed).toBeGreaterThan(0)
  expect(answered).toBeGreaterThan(0)

  // As many at once as there are slots, each in a backend of its own. The first to use a connection that
  // was killed a moment ago is told so.
  const inEverySlot = async () => {
    const pids = await Promise.all(
      Array.from({ length: max }, () =>
        pool.run(sql => sql<{ pid: number }[]>`select pg_backend_pid() as pid, pg_sleep(0.2)`),
      ),
    )
    return new Set(pids.map(([row]) => row?.pid)).size === max
  }
  await eventually(() => inEverySlot().catch(() => false))
  await pool.stop()
})

test('a transaction whose backend dies between two statements fails, and nothing else', async () => {
  await using db = await database()
  // In a process of its own: without the patch to postgres.js it ends that process.
  const script = `
    import postgres from 'postgres'
    const sql = postgres(process.env.URL, { max: 1 })
    const admin = postgres(process.env.URL, { max: 1 })
    const failure = await sql.begin(async tx => {
      const [{ pid }] = await tx\`select pg_backend_pid() as pid\`
      await admin\`select pg_terminate_backend(\${pid})\`
      while ((await admin\`select from pg_stat_activity where pid = \${pid}\`).length > 0);
      await new Promise(resolve => setTimeout(resolve, 50))
      await tx\`select 1\`
    }).catch(error => error)
    const [{ one }] = await sql\`select 1 as one\`
    console.log(failure.code, one)
    process.exit(0)`
  const child = Bun.spawn([process.execPath, '-e', script], {
    cwd: join(import.meta.dir, '../..'),
    env: { URL: db.url },
    stdout: 'pipe',
    stderr: 'inherit',
  })
  expect(await new Response(child.stdout).text()).toBe('CONNECTION_CLOSED 1\n')
  expect(await child.exited).toBe(0)
})

test('gives up a server that does not answer, and works again when it does', async () => {
  await using db = await database()
  const pool = createDatabase(db.url, { max: 1, name: 'kairan frozen test', deadlineMs: 300 })
  const [row] = await pool.run(sql => sql<{ pid: number }[]>`select pg_backend_pid() as pid`)
  await expect(pool.run(sql => sql`select pg_sleep(30)`)).rejects.toThrow(
    'Postgres did not answer within 300 ms',
  )
  const [next] = await pool.run(sql => sql<{ pid: number }[]>`select pg_backend_pid() as pid`)
  expect(next?.pid).not.toBe(row?.pid)
  await pool.stop()
})
