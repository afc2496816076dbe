import { expect, test } from 'bun:test'
import type { Instance, Overview } from '../../src/admin/admin.ts'
import { createFigures, quantile } from '../../src/dashboard/figures.ts'
import { problemsOf } from '../../src/dashboard/problems.ts'

const instance = (id: string, more: Partial<Instance> = {}): Instance => ({
  id,
  startedAt: '2026-01-01T00:00:00Z',
  silentMs: 500,
  facts: { listening: true, problem: null },
  ...more,
})

const overview = (second: number, more: Partial<Overview> = {}): Overview => ({
  now: new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString(),
  instances: [instance('one')],
  users: 0,
  head: 0,
  floor: 0,
  unnumbered: 0,
  pending: 0,
  queueUsage: 0,
  ...more,
})

test('percentiles are linear within a bucket', () => {
  const latency = { bounds: [1, 2, 4], counts: [10, 20, 20, 20] }
  expect(quantile(0.5, latency)).toBe(1)
  expect(quantile(0.75, latency)).toBe(1.5)
  expect(quantile(0.99, { bounds: [1, 2], counts: [0, 0, 5] })).toBe(2)
  expect(quantile(0.5, { bounds: [1], counts: [0, 0] })).toBeNull()
})

test('rates are of all instances, also when one begins anew or Postgres has', () => {
  const figures = createFigures()
  const facts = (delivered: number) => ({ delivered, listening: true, problem: null })
  const at = (second: number, head: number, one: number, two: number) =>
    figures
      .add(
        overview(second, {
          head,
          instances: [
            instance('one', { facts: facts(one) }),
            instance('two', { facts: facts(two) }),
          ],
        }),
      )
      .at(-1)
  expect(at(0, 100, 10, 20)).toMatchObject({ published: null, delivered: null })
  expect(at(2, 120, 30, 40)).toMatchObject({ published: 10, delivered: 20 })
  // One was started again and counts from zero; Postgres too, which makes the numbers jump.
  expect(at(4, 140 + 2 ** 20, 5, 60)).toMatchObject({ published: 10, delivered: 10 })
})

test('keeps a quarter of an hour', () => {
  const figures = createFigures()
  for (let n = 0; n < 500; n++) figures.add(overview(n * 2))
  expect(figures.add(overview(1000))).toHaveLength(450)
})

test('finds what is wrong, and nothing else', () => {
  const said = (now: Partial<Overview>, before: Partial<Overview> = {}) =>
    problemsOf(overview(2, now), overview(0, before)).map(({ what }) => what)
  expect(said({})).toEqual([])
  const deaf = instance('deafdeafdeaf', { facts: { listening: false, problem: 'listen: x' } })
  expect(said({ instances: [deaf] })).toEqual(['LISTEN is down on instance deafdeaf.'])
  const unready = instance('x', { facts: { listening: true, problem: 'database: gone' } })
  expect(said({ instances: [unready] })[0]).toContain('database: gone')
  expect(said({ instances: [instance('x', { silentMs: 12_000 })] })[0]).toContain('12 seconds')
  expect(said({ unnumbered: 5 })).toEqual([])
  expect(said({ unnumbered: 5 }, { unnumbered: 3 })[0]).toContain('5 deliveries wait')
  // At 1,000 a second some always wait, and that is no problem.
  expect(said({ unnumbered: 300, head: 2300 }, { unnumbered: 200, head: 300 })).toEqual([])
  const behind = said({ unnumbered: 10_000, head: 2300 }, { unnumbered: 10_000, head: 300 })
  expect(behind[0]).toContain('10,000 deliveries wait')
  expect(said({ queueUsage: 0.7 })[0]).toContain('70 %')
  const lossy = instance('x', { facts: { listening: true, problem: null, statusesDropped: 3 } })
  expect(said({ instances: [lossy] })[0]).toContain('gave up statuses')
})
