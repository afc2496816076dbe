import { expect, test } from 'bun:test'
import { createWorkLoop } from '../../src/lib/work-loop.ts'
import { eventually } from '../support/eventually.ts'

/** A loop whose runs end when the test says so. */
const setUp = (delays: { delayMs?: number; retryMs?: number } = {}) => {
  const runs: PromiseWithResolvers<number>[] = []
  const errors: unknown[] = []
  const loop = createWorkLoop({
    work() {
      const run = Promise.withResolvers<number>()
      runs.push(run)
      return run.promise
    },
    failed: error => errors.push(error),
    delayMs: 1,
    retryMs: 1,
    ...delays,
  })
  return { loop, runs, errors }
}

const never = 2 ** 30

test('runs once for what is scheduled together', async () => {
  const { loop, runs } = setUp()
  loop.schedule()
  loop.schedule()
  await eventually(() => runs.length === 1)
  runs[0]?.resolve(0)
  await loop.stop()
  expect(runs).toHaveLength(1)
})

test('one run at a time: calls that come meanwhile share the next', async () => {
  const { loop, runs } = setUp()
  const first = loop.flush()
  await turn()
  const second = loop.flush()
  expect(loop.flush()).toBe(second)
  await turn()
  expect(runs).toHaveLength(1)
  runs[0]?.resolve(0)
  await first
  await turn()
  expect(runs).toHaveLength(2)
  runs[1]?.resolve(0)
  await second
  expect(runs).toHaveLength(2)
})

test('work that fails is reported and runs again', async () => {
  const { loop, runs, errors } = setUp({ delayMs: never })
  const flushed = loop.flush()
  await turn()
  runs[0]?.reject('away')
  await flushed
  expect(errors).toEqual(['away'])
  await eventually(() => runs.length === 2)
  runs[1]?.resolve(0)
  await loop.stop()
  expect(runs).toHaveLength(2)
})

test('work that leaves something for later runs again, and no sooner', async () => {
  const { loop, runs, errors } = setUp({ delayMs: 1, retryMs: never })
  const flushed = loop.flush()
  await turn()
  runs[0]?.resolve(7)
  await flushed
  // The retry is scheduled already: what is asked for meanwhile waits for it.
  loop.schedule()
  await laterTimers()
  expect(runs).toHaveLength(1)
  expect(errors).toEqual([])
  void loop.flush()
  await turn()
  expect(runs).toHaveLength(2)
  runs[1]?.resolve(0)
  await loop.stop()
})

test('stop waits for the run under way and schedules nothing more', async () => {
  const { loop, runs } = setUp()
  void loop.flush()
  await turn()
  let isStopped = false
  const stopping = loop.stop().then(() => {
    isStopped = true
  })
  await turn()
  expect(isStopped).toBe(false)
  runs[0]?.reject('away')
  await stopping
  loop.schedule()
  await laterTimers()
  expect(runs).toHaveLength(1)
  const last = loop.flush()
  await turn()
  runs[1]?.resolve(0)
  await last
  expect(runs).toHaveLength(2)
})

/** Resolves when a timer has fired that was set after all others of 1 ms. */
const laterTimers = async () => {
  const { loop, runs } = setUp()
  loop.schedule()
  await eventually(() => runs.length === 1)
}

const turn = () => new Promise<void>(resolve => setImmediate(resolve))
