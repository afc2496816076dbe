/**
 * A simulation, not a measurement: what does it cost to spread users over several Postgres, each of them a cell? What
 * arithmetic does not tell is how even the cells are when a few users get most of the notifications, and in how many
 * cells the members of a group are. See docs/scaling.md.
 */

import { createRandom } from '../test/faults/random.ts'
import { sizesOf } from './support/sizes.ts'
import { printTable } from './support/table.ts'

const users = 1_000_000
const slots = 4096
const random = createRandom(7)

/** From 1 up; few are large. The share of values above x falls with x to the power of `steepness`. */
const heavy = (steepness: number, most: number) =>
  Math.min(most, (1 - random.next()) ** (-1 / steepness))

/** A slot is what a hash of the user id gives, so it is as good as drawn; slots are dealt to cells in turn. */
const cellOf = (slot: number, cells: number) => slot % cells
const slotOf = Int16Array.from({ length: users }, () => random.integer(0, slots - 1))
const slotOfUser = (user: number) => slotOf[user] ?? 0

/** How many notifications each user gets, in any unit. */
const weights = Float64Array.from({ length: users }, () => heavy(1.3, 10_000))

const balance = (cells: number) => {
  const people = new Float64Array(cells)
  const load = new Float64Array(cells)
  for (let user = 0; user < users; user++) {
    const cell = cellOf(slotOfUser(user), cells)
    people[cell] = (people[cell] ?? 0) + 1
    load[cell] = (load[cell] ?? 0) + (weights[user] ?? 0)
  }
  return { people: worst(people), load: worst(load) }
}

/** The largest against the mean. */
const worst = (values: Float64Array) =>
  Math.max(...values) / (values.reduce((sum, value) => sum + value, 0) / values.length)

/** The members of each group, as positions among the users. */
const groups = Array.from({ length: 20_000 }, () => {
  const size = Math.round(2 * heavy(0.9, users / 4))
  return Int32Array.from({ length: size }, () => random.integer(0, users - 1))
})

/** In how many cells each group has members. */
const cellsOf = (cells: number) =>
  groups.map(members => {
    const found = new Set<number>()
    for (const user of members) {
      found.add(cellOf(slotOfUser(user), cells))
      if (found.size === cells) break
    }
    return found.size
  })

/**
 * Each group gets one event. Those with fewer members than `threshold` are copied into each cell where members are; the
 * others are one row in the broadcast log, which every cell reads.
 */
const spread = (cells: number, threshold: number) => {
  const found = cellsOf(cells)
  let copies = 0
  let broadcast = 0
  for (const [index, members] of groups.entries()) {
    if (members.length >= threshold) broadcast++
    else copies += found[index] ?? 0
  }
  const events = groups.length
  return {
    rows: (copies + broadcast) / events,
    /** Of all events of groups, what one cell numbers, and what it applies. */
    numbered: copies / cells / events,
    applied: (copies / cells + broadcast) / events,
    broadcast: broadcast / events,
  }
}

console.log(`${users.toLocaleString('en')} users by hash: the fullest cell against the mean`)
printTable(
  ['cells', 'users', 'notifications'],
  [4, 16, 50, 200].map(cells => {
    const { people, load } = balance(cells)
    return [`${cells}`, `${people.toFixed(3)} ×`, `${load.toFixed(3)} ×`]
  }),
)

const sizes = groups.map(({ length }) => length).toSorted((a, b) => a - b)
const at = (share: number) => sizes[Math.floor((sizes.length - 1) * share)]
console.log(`\nGroups: half have at most ${at(0.5)} members, one in a hundred ${at(0.99)} and more`)
const show = (value: number) =>
  value >= 10 ? Math.round(value).toLocaleString('en') : value.toPrecision(2)
const percent = (share: number) => `${(share * 100).toFixed(1)} %`
for (const cells of [16, 50]) {
  console.log(`\n${cells} cells, one event for each group`)
  printTable(
    [
      'to the broadcast log from',
      'rows/event',
      'a cell numbers',
      'and applies',
      'broadcast log numbers',
    ],
    [1, 10, 50, 200, 1000, Number.POSITIVE_INFINITY].map(threshold => {
      const { rows, numbered, applied, broadcast } = spread(cells, threshold)
      return [
        threshold === Number.POSITIVE_INFINITY ? 'never' : `${threshold} members`,
        rows.toFixed(2),
        ...[percent(numbered), percent(applied), percent(broadcast)],
      ]
    }),
  )
}

console.log('\nSizes, from the figures in support/sizes.ts')
const sizing = [100_000, 1_000_000, 10_000_000, 100_000_000].map(sizesOf)
printTable(
  ['streams', ...sizing.map(({ streams }) => streams.toLocaleString('en'))],
  Object.entries({
    'instances, by streams': sizing.map(({ instances }) => instances),
    'cells, by notifications': sizing.map(({ cellsByEvents }) => cellsByEvents),
    'cells, by streams that open': sizing.map(({ cellsByOpening }) => cellsByOpening),
    'cells, by connections': sizing.map(({ cellsByConnections }) => cellsByConnections),
    'streams that open each second': sizing.map(({ opensPerSecond }) => opensPerSecond),
    'cores of instances: open': sizing.map(({ openCores }) => openCores),
    '… heartbeats': sizing.map(({ heartbeatCores }) => heartbeatCores),
    '… apply their cell': sizing.map(({ applyCores }) => applyCores),
    '… write events': sizing.map(({ writeCores }) => writeCores),
    '… of one core of each instance': sizing.map(
      ({ coreShare }) => `${(coreShare * 100).toFixed(0)} %`,
    ),
    'ms of each instance for a broadcast': sizing.map(({ broadcastMs }) => broadcastMs),
  }).map(([name, values]) => [
    name,
    ...values.map(value => (typeof value === 'number' ? show(value) : value)),
  ]),
)
