import { expect, test } from 'bun:test'
import { createTurns } from '../../src/lib/turns.ts'
import type { Log, Survey } from '../../src/log/log.ts'
import { createCoalesce } from '../../src/stream/coalesce.ts'
import { createHub } from '../../src/stream/hub.ts'
import { stream } from '../../src/stream/stream.ts'
import { facts } from '../support/connection.ts'
import { eventually } from '../support/eventually.ts'

test('the streams of a user read the log in turns, before nobody else, and not for who has left', async () => {
  const hub = createHub({ queueBytes: 10_000, recentEvents: 1, recentBytes: 1000 })
  hub.begin('e', 100)
  /** Whose surveys have not been answered, by the channel that they ask for. */
  const asked: { channel: string | undefined; answer(survey: Survey): void }[] = []
  const log: Log = {
    page: async (_channels, _after, upTo) => ({ events: [], end: upTo, floor: 0 }),
    hasPending: async () => false,
    pendingPage: async (_channel, _after, upTo) => ({ events: [], end: upTo, floor: 0 }),
    survey([channel]) {
      const { promise, resolve } = Promise.withResolvers<Survey>()
      asked.push({ channel, answer: resolve })
      return promise
    },
  }
  const parts = {
    ...{ hub, log, turns: createTurns({ atOnce: 2, mostWaiting: 1000, waitMs: 60_000 }) },
    ...{ taken: () => undefined, ended: () => undefined, coalesce: createCoalesce() },
    metrics: { gap: () => undefined, lagging: () => undefined },
    failed(error: unknown) {
      throw error
    },
    ...{ retryMs: 1, replayLimit: 1000, writeBytes: 1000 },
  }
  const open = (userId: string) => {
    const subscription = hub.subscribe(facts(userId), [`user-${userId}`], 5)
    const frames = stream(
      subscription,
      { mayHaveRest: true, cursor: { epoch: 'e', seq: 5 } },
      parts,
    )
    let text = ''
    const read = async () => {
      for await (const bytes of frames) text += new TextDecoder().decode(bytes)
    }
    void read()
    return { subscription, isReady: () => text.includes('"ready"') }
  }
  const many = Array.from({ length: 50 }, () => open('many'))
  const other = open('other')
  await eventually(() => asked.length === 3)
  expect(asked.map(({ channel }) => channel)).toEqual(['user-many', 'user-many', 'user-other'])
  const survey = { epoch: 'e', head: 100, floor: 0, missed: 0 }
  asked[2]?.answer(survey)
  await eventually(other.isReady)
  expect(asked).toHaveLength(3)
  // All but three leave: nothing is asked for them.
  for (const { subscription } of many.slice(3)) subscription.close()
  asked[0]?.answer(survey)
  asked[1]?.answer(survey)
  await eventually(() => asked.length === 4)
  asked[3]?.answer(survey)
  await eventually(() => many.slice(0, 3).every(({ isReady }) => isReady()))
  expect(asked).toHaveLength(4)
  for (const subscription of hub.subscriptions()) subscription.close()
})
