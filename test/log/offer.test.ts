import { expect, test } from 'bun:test'
import type { Step } from '../../src/log/step.ts'
import { dispatch, publishMany } from '../support/dispatcher.ts'
import { eventually } from '../support/eventually.ts'
import { migrated } from '../support/schema.ts'

/** One that numbers, and one that has only what it is offered: it never looks by itself. */
const pair = async () => {
  const db = await migrated()
  const first = await dispatch(db)
  const second = await dispatch(db, { follows: true })
  expect([first.leads(), second.leads()]).toEqual([true, false])
  return {
    db,
    first,
    second,
    /** Numbers one more, and returns its step. */
    async next(n: number): Promise<Step> {
      await publishMany(db, n, n)
      await eventually(() => first.numbers().includes(n))
      const step = first.steps.at(-1)
      if (!step) throw new Error('It has sent nothing')
      return step
    },
    /** Offers a step, and waits for what becomes of it: it may be reading the table. */
    async offer(step: Step) {
      const before = second.outcomes.length
      second.offer(step)
      await eventually(() => second.outcomes.length > before)
    },
    async [Symbol.asyncDispose]() {
      await second[Symbol.asyncDispose]()
      await first[Symbol.asyncDispose]()
      await db[Symbol.asyncDispose]()
    },
  }
}

test('goes on by what another one has numbered, without a look at the table', async () => {
  await using two = await pair()
  const { first, second } = two
  for (let n = 1; n <= 5; n++) {
    const step = await two.next(n)
    expect(second.numbers()).toHaveLength(n - 1)
    await two.offer(step)
    expect(second.numbers()).toHaveLength(n)
  }
  expect(second.happened).toEqual([1, 2, 3, 4, 5].map(n => `${n} from relay`))
  expect(second.numbers()).toEqual(first.numbers())
  expect(second.steps).toEqual([])
})

test('applies what was told of users before the events, once', async () => {
  await using two = await pair()
  const { db, first, second } = two
  await db.sql`select kairan.reauthorize('7')`
  await two.offer(await two.next(1))
  expect(second.happened).toEqual(['reauthorize', '1 from relay'])
  // This one is read from the table, and then it comes with a step, too.
  await db.sql`select kairan.disconnect('7')`
  second.wake()
  await eventually(() => second.happened.includes('disconnect'))
  await two.offer(await two.next(2))
  expect(second.happened.slice(2)).toEqual(['disconnect', '2 from relay'])
  expect(first.happened.slice(2)).toEqual(['disconnect', '2 from table'])
  expect(second.outcomes).toEqual(['applied', 'applied'])
})

test('reads the table when something that was told earlier may be missing', async () => {
  await using two = await pair()
  const { db, second } = two
  await db.sql`select kairan.reauthorize('7')`
  const { told, ...step } = await two.next(1)
  if (!told) throw new Error('Nothing is said of what was told')
  // As of one that has read the change itself, and begins to number now.
  await two.offer({ ...step, told: { since: told.now, now: told.now, told: [] } })
  await eventually(() => second.numbers().length === 1)
  expect(second.happened).toEqual(['reauthorize', '1 from table'])
  expect(second.outcomes).toEqual(['missing'])
})

test('reads the table after a step that was lost, and ignores one that comes late or again', async () => {
  await using two = await pair()
  const { second } = two
  const one = await two.next(1)
  const other = await two.next(2)
  await two.offer(other)
  await eventually(() => second.numbers().length === 2)
  for (const step of [one, other, one]) await two.offer(step)
  await two.offer(await two.next(3))
  expect(second.happened).toEqual(['1 from table', '2 from table', '3 from relay'])
  expect(second.outcomes).toEqual(['missing', 'known', 'known', 'known', 'applied'])
})

test('applies no step of another log or another server', async () => {
  await using two = await pair()
  const { second } = two
  const step = await two.next(1)
  const lie = step.events.map(event => ({ ...event, payload: '{"n": 99}' }))
  await two.offer({ ...step, events: lie, epoch: 'other' })
  await two.offer({ ...step, events: lie, server: 'other' })
  await two.offer({ ...step, events: lie, told: null })
  await eventually(() => second.numbers().length === 1)
  expect(second.happened).toEqual(['1 from table'])
  expect(second.outcomes).not.toContain('applied')
})

test('gives no event of a notification that was withdrawn, however late its step comes', async () => {
  await using two = await pair()
  const { db, first, second } = two
  const step = await two.next(1)
  const id = step.events[0]?.id ?? ''
  await db.sql`select kairan.reauthorize('7')`
  // It would begin another epoch when it saw the log without what it has numbered.
  using _ = await first.freeze()
  // The second one hears of it before it has the step: the row of a batch that is not committed yet is not to be seen.
  await db.sql`
    insert into kairan.user_changes (change)
    values (${db.sql.json({ action: 'withdrawn', id, channels: ['all-users'] })})`
  await db.sql`delete from kairan.numbered`
  await db.sql`update kairan.batches set head = 0`
  second.wake()
  await eventually(() => second.happened.includes('withdrawn 1'))
  for (let look = 0; look < 3; look++) {
    second.wake()
    await db.sql`select pg_sleep(0.02)`
  }
  await two.offer(step)
  expect(second.outcomes).toEqual(['applied'])
  expect(second.numbers()).toEqual([])
})

test('gives each event once when a step goes on where a page of the table ends', async () => {
  await using two = await pair()
  const { db, first, second } = two
  // As many as a page has, and then some: these are the second step.
  await publishMany(db, 1, 4010)
  await eventually(() => first.numbers().length === 4010)
  const step = first.steps.at(-1)
  if (!step) throw new Error('It has sent nothing')
  await two.next(4011)
  {
    using _ = await second.freeze()
    second.wake()
    await new Promise(resolve => setImmediate(resolve))
    second.offer(step)
  }
  await eventually(() => second.numbers().includes(4011))
  expect(second.outcomes).toEqual(['applied'])
  expect(second.numbers()).toEqual(first.numbers())
})
