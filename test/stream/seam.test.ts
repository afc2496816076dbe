import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createTurns } from '../../src/lib/turns.ts'
import type { Event } from '../../src/log/event.ts'
import type { Log } from '../../src/log/log.ts'
import { createCoalesce } from '../../src/stream/coalesce.ts'
import { createHub } from '../../src/stream/hub.ts'
import { stream } from '../../src/stream/stream.ts'
import { facts } from '../support/connection.ts'

/**
 * The seam between backlog and live: whatever the order in which the log grows, an instance dispatches it,
 * pages come back late, the channels are looked up again, and the client reads, it gets what follows its cursor, once
 * and in order, and none of the cursors that it is told is before its own. Only the log is a model here; hub,
 * subscription and stream are the real ones.
 */
type Action =
  | { kind: 'commit'; count: number; mine: boolean }
  | { kind: 'dispatch'; most: number }
  | { kind: 'answer' }
  | { kind: 'read' }
  | { kind: 'look up' }

const action = fc.oneof(
  fc.record({
    kind: fc.constant('commit' as const),
    count: fc.integer({ min: 1, max: 4 }),
    mine: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('dispatch' as const), most: fc.integer({ min: 1, max: 5 }) }),
  fc.constant({ kind: 'answer' } as const),
  fc.constant({ kind: 'read' } as const),
  fc.constant({ kind: 'look up' } as const),
)

const scenario = fc.record({
  before: fc.integer({ min: 0, max: 12 }),
  known: fc.double({ min: 0, max: 1, noNaN: true }),
  cursor: fc.double({ min: 0, max: 1, noNaN: true }),
  recentEvents: fc.integer({ min: 1, max: 8 }),
  queueBytes: fc.constantFrom(400, 2000, 100_000),
  actions: fc.array<Action>(action, { minLength: 5, maxLength: 60 }),
})

const event = (seq: number, mine: boolean): Event => ({
  seq,
  id: null,
  channel: mine ? 'user-1' : 'user-2',
  type: null,
  createdAt: '',
  expiresAt: null,
  payload: `{"seq":${seq}}`,
  metadata: null,
})

test('backlog and live meet without a gap and without a repetition, in any interleaving', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ before, known, cursor, actions, ...limits }) => {
      const committed: Event[] = Array.from({ length: before }, (_, index) =>
        event(index + 1, true),
      )
      let dispatched = Math.floor(before * known)
      const hub = createHub({ ...limits, recentBytes: 1_000_000 })
      hub.begin('e', dispatched)

      // Pages are answered when the scenario says so, from the log as it is then.
      const waiting: (() => void)[] = []
      const log: Log = {
        page: async (channels, after, upTo) => {
          const answer = Promise.withResolvers<void>()
          waiting.push(answer.resolve)
          await answer.promise
          const rows = committed.filter(
            ({ seq, channel }) =>
              Number(seq) > after && Number(seq) <= upTo && channels.includes(channel),
          )
          const events = rows.slice(0, 3)
          return { events, end: rows.length > 3 ? Number(events.at(-1)?.seq) : upTo, floor: 0 }
        },
        hasPending: async () => true,
        pendingPage: async (_channel, _after, upTo) => ({ events: [], end: upTo, floor: 0 }),
        survey: async () => ({ epoch: 'e', head: committed.length, floor: 0, missed: 0 }),
      }
      const start = Math.floor(before * cursor)
      const subscription = hub.subscribe(facts('1'), ['user-1'], start)
      const frames = stream(
        subscription,
        { mayHaveRest: false, cursor: { epoch: 'e', seq: start } },
        {
          hub,
          log,
          turns: createTurns({ atOnce: 2, mostWaiting: 10, waitMs: 60_000 }),
          taken: () => undefined,
          ended: () => undefined,
          metrics: { gap: () => undefined, lagging: () => undefined },
          failed: error => {
            throw error
          },
          retryMs: 1,
          replayLimit: 1000,
          writeBytes: 300,
          coalesce: createCoalesce(),
        },
      )

      let text = ''
      let isReading = false
      const read = async () => {
        if (isReading) return
        isReading = true
        const { value } = await frames.next()
        if (value) text += new TextDecoder().decode(value)
        isReading = false
      }
      const dispatch = (most: number) => {
        const events = committed.slice(dispatched, dispatched + most)
        dispatched += events.length
        if (events.length > 0) hub.dispatch(events, dispatched)
      }
      let isLookedUp = false
      const lookUp = () => {
        if (isLookedUp) subscription.release()
        else subscription.hold(hub.head)
        isLookedUp = !isLookedUp
      }
      for (const step of actions) {
        if (step.kind === 'commit') {
          for (let left = step.count; left > 0; left--) {
            committed.push(event(committed.length + 1, step.mine))
          }
        } else if (step.kind === 'dispatch') dispatch(step.most)
        else if (step.kind === 'answer') waiting.shift()?.()
        else if (step.kind === 'look up') lookUp()
        else void read()
        await turn()
      }
      if (isLookedUp) lookUp()
      // Then everything comes to its end: all is dispatched, answered and read.
      const expected = committed
        .filter(({ seq, channel }) => Number(seq) > start && channel === 'user-1')
        .map(({ seq }) => Number(seq))
      for (let idle = 0; idle < 5; ) {
        const length = text.length
        dispatch(1000)
        waiting.shift()?.()
        void read()
        await turn()
        idle = text.length > length || waiting.length > 0 ? 0 : idle + 1
      }
      subscription.close()
      const got = [...text.matchAll(/"seq":(\d+)/g)].map(([, seq]) => Number(seq))
      expect(got).toEqual(expected)
      expect(text).not.toContain('"gap"')
      const cursors = [...text.matchAll(/^id: e-(\d+)$/gm)].map(([, seq]) => Number(seq))
      expect(cursors).toEqual(cursors.toSorted((one, other) => one - other))
      expect(cursors[0] ?? start).toBeGreaterThanOrEqual(start)
    }),
    { numRuns: 2000 },
  )
})

const turn = () => new Promise<void>(resolve => setImmediate(resolve))
