import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Choice, changed, choiceOf, chosen } from '../../src/stream/choice.ts'

const name = fc.integer({ min: 0, max: 40 }).map(n => `org-${n}`)
const names = fc.uniqueArray(name, { maxLength: 5 })

test('whatever a client adds and removes, what it keeps is bounded, and the last word counts', () => {
  const all = { names: ['org-1', 'org-2', 'org-3'], includes: () => true, isCut: false }
  fc.assert(
    fc.property(fc.array(fc.record({ add: names, remove: names }), { maxLength: 60 }), changes => {
      let choice: Choice = choiceOf(undefined)
      for (const change of changes) {
        choice = changed(choice, change, 10)
        expect(choice.except.length).toBeLessThanOrEqual(10)
        const carried = chosen(choice, all)
        for (const removed of change.remove) expect(carried).not.toContain(removed)
        for (const added of change.add) {
          if (!change.remove.includes(added)) expect(carried).toContain(added)
        }
      }
    }),
  )
})
