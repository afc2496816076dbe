/** Any login of the database can send and receive what the relay's notify channel carries. */
import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { denied, login, stateOf } from '../support/logins.ts'
import { serve, tokenFor } from '../support/service.ts'

const channel = 'kairan_relay'

/** What an instance counted, by outcome. */
const outcomesOf = async (url: string) => {
  const text = await (await fetch(`${url}/metrics`)).text()
  const lines = text.matchAll(/^kairan_relay_messages_total\{outcome="(\w+)"\} (\d+)/gm)
  return Object.fromEntries([...lines].map(([, outcome = '', count]) => [outcome, Number(count)]))
}

test('a login without rights reads nothing on it, and what it sends is refused and counted', async () => {
  await using db = await database()
  await using one = await serve(db)
  await using two = await serve(db)
  await using stranger = await login(db)
  const heard: string[] = []
  await stranger.sql.listen(channel, payload => heard.push(payload))
  const token = await tokenFor('42')
  await using near = await openReady(one.url, { token })
  await using far = await openReady(two.url, { token })
  const publish = (n: number) =>
    db.sql`select kairan.publish('user-42', ${db.sql.json({ text: 'a secret', n })})`

  let published = 0
  const both = async () => {
    await publish(++published)
    await Promise.all([near.atLeast(published), far.atLeast(published)])
  }
  // Until one is applied: before, the follower has not looked since the other began.
  await eventually(async () => {
    await both()
    const counts = await Promise.all([one, two].map(({ url }) => outcomesOf(url)))
    return counts.some(({ applied = 0 }) => applied > 3)
  })
  await eventually(() => heard.length > 3)
  expect(heard.some(text => atob(text).includes('secret'))).toBe(false)
  expect(await stateOf(stranger.sql`select from kairan.relay_key`)).toBe(denied)
  expect(await stateOf(stranger.sql`select from kairan.leases`)).toBe(denied)
  expect(await stateOf(stranger.sql`select setval('kairan.led_until', 1)`)).toBe(denied)

  // Forged, changed, cut, and what was said before, more than anybody looks at.
  const before = await outcomesOf(two.url)
  const spoilt = (text: string, at: number) => {
    const bytes = Buffer.from(text, 'base64')
    bytes[at] = (bytes[at] ?? 0) ^ 1
    return bytes.toString('base64')
  }
  const lies = heard.flatMap((text, n) => [
    text,
    spoilt(text, 30 + n),
    spoilt(text, 5),
    text.slice(0, 20 + n),
    `garbage ${n}`,
  ])
  for (let n = 0; n < 5; n++) {
    const payloads = stranger.sql.json(
      Array.from({ length: 100 }, (_, i) => lies[i % lies.length] ?? ''),
    )
    await stranger.sql`
      select pg_notify(${channel}, m || repeat(' ', n::int))
      from jsonb_array_elements_text(${payloads}::jsonb) with ordinality x (m, n)`
    await both()
  }
  await eventually(async () => {
    const { refused = 0, repeated = 0 } = await outcomesOf(two.url)
    return refused > (before.refused ?? 0) + 50 && repeated > (before.repeated ?? 0)
  })
  await both()
  for (const client of [near, far]) {
    const numbers = client.events.map(({ payload }) => payload.n)
    expect(numbers).toEqual(numbers.map((_, index) => index + 1))
  }
})
