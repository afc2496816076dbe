import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Members } from '../../src/lib/multi-map.ts'

test('has the members that were added and not removed, whatever the order', () => {
  const all = [{ n: 0 }, { n: 1 }, { n: 2 }]
  const steps = fc.array(fc.tuple(fc.boolean(), fc.constantFrom('a', 'b'), fc.constantFrom(...all)))
  fc.assert(
    fc.property(steps, steps => {
      const members = new Members<object>()
      const expected = { a: new Set<object>(), b: new Set<object>() }
      for (const [isAdded, name, member] of steps) {
        if (isAdded) {
          members.add(name, member)
          expected[name].add(member)
        } else {
          members.remove(name, member)
          expected[name].delete(member)
        }
      }
      expect(new Set(members.of('a'))).toEqual(expected.a)
      expect(new Set(members.of('b'))).toEqual(expected.b)
    }),
  )
})

test('a name that many members have is one text', () => {
  const members = new Members<object>()
  const list = `org-1,${'x'.repeat(100_000)}`
  const names = Array.from({ length: 1000 }, () => members.nameOf(`${list}`.split(',')[0] ?? ''))
  for (const name of names) {
    expect(name).toBe('org-1')
    members.add(name, {})
  }
  expect(members.nameOf('org-1')).toBe('org-1')
  expect(members.nameOf('org-2')).toBe('org-2')
  expect([...members.of('org-1')]).toHaveLength(1000)
})
