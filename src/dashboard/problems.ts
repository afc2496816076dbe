import type { Overview } from '../admin/admin.ts'

/** A problem, and what to do about it. */
export type Problem = { what: string; remedy: string }

/** An instance that has been silent for this time counts as gone. */
const goneMs = 10_000

/** Finds the problems that an operator should know. `previous` is the overview before. */
export const problemsOf = (overview: Overview, previous: Overview | null): Problem[] => {
  const alive = overview.instances.filter(({ silentMs }) => silentMs < goneMs)
  const gone = overview.instances.filter(({ silentMs }) => silentMs >= goneMs)
  const problems: Problem[] = []
  const add = (what: string, remedy: string) => problems.push({ what, remedy })

  const deaf = alive.filter(({ facts }) => facts.listening === false)
  if (deaf.length > 0) {
    add(
      `LISTEN is down on ${namesOf(deaf)}.`,
      'Delivery continues by polling, up to a second later, and live events are lost. Does DATABASE_LISTEN_URL go through a transaction pooler? Has Postgres reached its limit of connections?',
    )
  }
  const unready = alive.filter(({ facts }) => facts.problem && facts.listening !== false)
  for (const { id, facts } of unready) {
    add(`Instance ${id.slice(0, 8)} is not ready: ${facts.problem}.`, 'See its log for details.')
  }
  if (gone.length > 0) {
    add(
      `${namesOf(gone)} gave no sign of life for ${Math.round(Math.max(...gone.map(i => i.silentMs)) / 1000)} seconds.`,
      'It has died or is frozen. Its clients reconnect to the others; it leaves this list after a minute.',
    )
  }
  if (isStuck(overview, previous)) {
    add(
      `${overview.unnumbered.toLocaleString('en')} deliveries wait for their number.`,
      'If this number grows, a transaction locks the log: see the oldest transaction on the page System.',
    )
  }
  if (overview.queueUsage > 0.5) {
    add(
      `The NOTIFY queue of Postgres is ${Math.round(overview.queueUsage * 100)} % full.`,
      'When it is full, every commit with a NOTIFY fails. The cause is a listening session with an open transaction: end it.',
    )
  }
  const dropped = alive.filter(({ facts }) => (facts.statusesDropped ?? 0) > 0)
  if (dropped.length > 0) {
    add(
      `${namesOf(dropped)} gave up statuses that could not be written.`,
      'Those deliveries stay pending although they were delivered. Was Postgres read-only or full?',
    )
  }
  return problems
}

/** As many are counted as unnumbered. */
const mostCounted = 10_000

/** Whether nothing is numbered, or too little. While much is published, some always wait for a few milliseconds. */
const isStuck = (now: Overview, before: Overview | null) => {
  if (before === null || before.unnumbered === 0 || now.unnumbered === 0) return false
  return now.head === before.head || now.unnumbered >= mostCounted
}

const namesOf = (instances: { id: string }[]) => {
  const names = instances.map(({ id }) => id.slice(0, 8))
  return `${names.length === 1 ? 'instance' : 'instances'} ${names.slice(0, 3).join(', ')}${names.length > 3 ? ' and others' : ''}`
}
