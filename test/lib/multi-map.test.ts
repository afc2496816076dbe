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
