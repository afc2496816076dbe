import { expect, test } from 'bun:test'
import postgres from 'postgres'
import { open, openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { serve, tokenFor } from '../support/service.ts'

const { TEST_DATABASE_URL: server = '' } = process.env
const token = await tokenFor('42')

/** Publishes these numbers, and resolves with the last id of a stream that has got them. */
const live = async (url: string, numbers: number[]) => {
  await using service = await serve({ url })
  await using client = await openReady(service.url, { token })
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  for (const n of numbers) await sql`select kairan.publish('user-42', ${sql.json({ n })})`
  await sql.end()
  await client.atLeast(numbers.length)
  return client.lastEventId
}

/** What a stream that returns with this cursor gets: all numbers in order, or null after a gap. */
const comeBack = async (url: string, cursor: string | undefined, last: number) => {
  await using service = await serve({ url })
  await using client = await open(service.url, { token, ...(cursor && { lastEventId: cursor }) })
  const { resumed } = await client.control('ready')
  if (!resumed) return (await client.control('gap')).reason
  while (!client.events.some(({ payload }) => payload.n === last))
    await client.atLeast(client.events.length + 1)
  return client.events.map(({ payload }) => payload.n)
}

/**
 * A copy goes on from where the original was when it was made, and so does another copy. Nobody ran meanwhile who could
 * have noticed it.
 */
test('a cursor of another life of the log is answered with a gap, whichever was copied from which', async () => {
  await using db = await database()
  await db.sql.end()
  const admin = postgres(server, { max: 1, onnotice: () => undefined })
  const name = new URL(db.url).pathname.slice(1)
  const made: string[] = []
  const copy = async (from: string) => {
    const to = `${from}_${made.length}`
    await admin.unsafe(`create database ${to} template ${from}`)
    made.push(to)
    return Object.assign(new URL(db.url), { pathname: `/${to}` }).toString()
  }
  try {
    const before = await live(db.url, [1, 2, 3])
    const backup = await copy(name)
    const after = await live(db.url, [4, 5, 6])
    // It has three more than the cursor knows, and its numbers have gone beyond.
    await live(backup, [11, 12, 13, 14, 15, 16])
    expect(await comeBack(backup, after, 16)).toBe('log')
    expect(await comeBack(backup, before, 16)).toBe('log')
    // Where nothing was copied, nothing is missing, after a restart of the service as well.
    expect(await comeBack(db.url, before, 6)).toEqual([4, 5, 6])
    // The first attempt to restore, and the second.
    const [one, two] = [await copy(`${name}_0`), await copy(`${name}_0`)]
    const first = await live(one, [21, 22, 23])
    await live(two, [31, 32, 33, 34, 35])
    expect(await comeBack(two, first, 35)).toBe('log')
  } finally {
    for (const each of made) await admin.unsafe(`drop database ${each} with (force)`)
    await admin.end()
  }
})
