import { expect, test } from 'bun:test'
import { createBatchLookup } from '../../src/lib/batch-lookup.ts'
import { createHub } from '../../src/stream/hub.ts'
import { createAccess } from '../../src/stream/permissions.ts'
import type { Subscription } from '../../src/stream/subscription.ts'
import { again, expectWithin } from '../support/again.ts'
import { facts, standingsOf } from '../support/connection.ts'

const setUp = (levelOf: (userId: string) => Promise<number>, atOnce = 4) => {
  const hub = createHub({ queueBytes: 10_000, recentEvents: 1, recentBytes: 1000 })
  hub.begin('e', 10)
  const fail = (): never => {
    throw new Error('not here')
  }
  const access = createAccess({
    hub,
    standings: standingsOf(levelOf, atOnce),
    adminRoleLevel: 100,
    maxChannels: 1000,
    unavailable: fail,
    revoke: fail,
    overfull: fail,
    tell: () => undefined,
    muted: fail,
    moved: () => undefined,
    failed: fail,
  })
  const open = (userId: string): Subscription =>
    hub.subscribe(facts(userId), [`user-${userId}`, 'all-users'], 10)
  return { hub, access, open }
}
const turn = () => new Promise<void>(resolve => setImmediate(resolve))

test('100,000 users who are online get new role levels without a long pause of everything else', async () => {
  const users = 100_000
  let questions = 0
  let level = 0
  const levelOf = createBatchLookup<number>(async () => {
    questions++
    await turn()
    return () => level
  })
  const { access, open, hub } = setUp(levelOf, 1000)
  for (let n = 0; n < users; n++) open(`${n}`)

  /** Changes the level of all. Resolves with the longest pause meanwhile, in milliseconds. */
  const changeAll = async () => {
    questions = 0
    level = 100 - level
    let longest = 0
    let last = performance.now()
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
    }, 1)
    const changes: Promise<void>[] = []
    // As the dispatcher reads them.
    for (let n = 0; n < users; n++) {
      changes.push(access.reauthorize([`${n}`]))
      if (n % 1000 === 999) await turn()
    }
    await Promise.all(changes)
    clearInterval(timer)
    const admins = hub
      .subscriptions()
      .filter(({ channels }) => channels.includes('admin-dashboard'))
    expect(admins).toHaveLength(level === 100 ? users : 0)
    expect(hub.subscriptions().some(({ isHeld }) => isHeld)).toBe(false)
    expect(questions).toBeLessThan(users / 100)
    return longest
  }
  await again(async () => expectWithin('the longest pause', await changeAll(), 400))
}, 180_000)

test('however often a user changes, two look-ups are under way, and the last change counts', async () => {
  const answers: PromiseWithResolvers<number>[] = []
  const { access, open, hub } = setUp(() => {
    const answer = Promise.withResolvers<number>()
    answers.push(answer)
    return answer.promise
  })
  open('1')
  const changes = Array.from({ length: 1000 }, () => access.reauthorize(['1']))
  await turn()
  expect(answers).toHaveLength(2)
  // A stream that is opened meanwhile waits, too.
  const late = open('1')
  changes.push(access.reauthorize(['1']))
  expect(late.isHeld).toBe(true)
  for (let n = 0; n < 10; n++) {
    // The answers to what was asked before the last change are not it.
    for (const answer of answers.splice(0)) answer.resolve(n === 0 ? 100 : 0)
    await turn()
  }
  await Promise.all(changes)
  for (const { channels, isHeld } of hub.subscriptions('1')) {
    expect(channels).toEqual(['user-1', 'all-users'])
    expect(isHeld).toBe(false)
  }
})

test('what nobody waits for leaves room for a stream that opens', async () => {
  let under = 0
  let most = 0
  let done = 0
  const { access, open } = setUp(async () => {
    most = Math.max(most, ++under)
    await turn()
    under--
    done++
    return 0
  })
  for (let n = 0; n < 100; n++) open(`${n}`)
  const changes = Array.from({ length: 100 }, (_, n) => access.reauthorize([`${n}`]))
  await turn()
  await access.readableOf({ userId: 'new', subscribes: [] })
  // Behind those that were asked for before it, it would be the last of 101.
  expect(done).toBeLessThan(20)
  await Promise.all(changes)
  expect(most).toBeLessThanOrEqual(5)
})
