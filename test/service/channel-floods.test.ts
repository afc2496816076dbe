import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

/** A thousand long names that don't compress. */
const longNames = () =>
  Array.from({ length: 1000 }, () =>
    Array.from({ length: 7 }, () => crypto.randomUUID())
      .join('')
      .slice(0, 250),
  )

for (const body of [() => ({ remove: longNames() }), () => ({ also: longNames() })]) {
  test(`what a user tells of a stream of another instance stays small: ${Object.keys(body())}`, async () => {
    await using db = await database()
    await using one = await serve(db)
    await using two = await serve(db)
    const headers = {
      authorization: `Bearer ${await tokenFor('1')}`,
      'content-type': 'application/json',
    }
    await using client = await openReady(one.url, { token: await tokenFor('1') })
    const { streamId } = await client.control('ready')
    const change = async (sent: object) => {
      const url = `${two.url}/notifications/stream/${streamId}/channels`
      return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(sent) })).status
    }
    await eventually(async () => (await change({ remove: ['org-1'] })) === 200)
    const statuses = new Set<number>()
    for (let n = 0; n < 40; n++) statuses.add(await change(body()))
    expect(statuses.has(429)).toBe(true)
    const [row] =
      await db.sql`select sum(octet_length(change::text))::int as bytes from kairan.user_changes`
    expect(row?.bytes).toBeLessThan(2 * 1024 * 1024)
  })
}
