/** What docs/operating.md says of upgrades and of going back, done with processes of two versions. */
import { expect, test } from 'bun:test'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Instance, startInstance } from '../faults/instance.ts'
import { withMistake } from '../faults/mistakes.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { login } from '../support/logins.ts'
import { isReady } from '../support/process.ts'
import { run } from '../support/program.ts'
import { readAsBrowsersDo } from '../support/returning.ts'
import { tokenFor } from '../support/service.ts'

/** A copy of the source that has one more migration, as the next version would have. */
const nextVersion = async () => {
  const source = await withMistake(undefined)
  await appendFile(
    join(source.path, 'postgres/migrate.ts'),
    `
migrations.push({
  version: 1000,
  name: 'next',
  sql: 'alter table kairan.notifications add column of_next_version text;',
})
`,
  )
  return source
}

const migrateBy = (source: string, url: string) =>
  run([process.execPath, join(source, 'main.ts'), 'migrate'], { env: { DATABASE_URL: url } })

test('an upgrade, and going back from it, lose no event', async () => {
  await using db = await database({ empty: true })
  await using next = await nextVersion()
  const old = join(import.meta.dir, '../../src')
  expect(await migrateBy(old, db.url)).toContain('schema')
  await using service = await login(db, 'kairan_service')
  await using owned = await ownedInstances()
  const start = async (source: string) => {
    const instance = owned.add(await startInstance(source, service.url, {}))
    await eventually(() => isReady(instance.url))
    return instance
  }
  const stop = async (instance: Instance) => {
    instance.signal('SIGTERM')
    expect(await instance.ended()).toBe(0)
  }

  let [one, two] = [await start(old), await start(old)]
  const urls = [one.url, two.url]
  await using stream = readAsBrowsersDo(urls, await tokenFor('42'))
  await eventually(() => stream.isOpen)
  await using publishing = publishAllTheTime(db)

  /** Each instance gives its place to one of another version, as a rolling update does. */
  const replaceAll = async (source: string) => {
    const before = stream.opened
    const [third, fourth] = [await start(source), await start(source)]
    urls.push(third.url, fourth.url)
    await stop(one)
    await stop(two)
    urls.splice(0, 2)
    ;[one, two] = [third, fourth]
    await eventually(() => stream.opened > before)
  }
  // Both versions run on the new schema for a while.
  expect(await migrateBy(next.path, db.url)).toContain('1000 next')
  await replaceAll(next.path)
  await replaceAll(old)
  // Also a start of the older version as the owner changes nothing.
  expect(await migrateBy(old, db.url)).toBe('Nothing to apply.')

  const n = await publishing.stop()
  await eventually(() => stream.seen.length >= n)
  expect(stream.seen).toEqual(Array.from({ length: n }, (_, index) => index + 1))
  expect(stream.problems).toEqual([])
}, 90_000)

/** Publishes numbers until it is stopped, which gives the last one. */
const publishAllTheTime = (db: TestDatabase) => {
  let n = 0
  let isDone = false
  const publishing = (async () => {
    while (!isDone) {
      await db.sql`select kairan.publish('user-42', ${db.sql.json({ n: ++n })})`
      await Bun.sleep(5)
    }
  })()
  const stop = async () => {
    isDone = true
    await publishing
    return n
  }
  return {
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
    },
  }
}

/** Ends what it was given at the end of the scope. */
const ownedInstances = async () => {
  const instances: Instance[] = []
  return {
    add(instance: Instance) {
      instances.push(instance)
      return instance
    },
    async [Symbol.asyncDispose]() {
      for (const instance of instances) await instance[Symbol.asyncDispose]()
    },
  }
}
