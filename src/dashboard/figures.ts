import type { Moment } from '../admin/admin.ts'

/** The values of the charts at one moment. */
export type Sample = {
  /** In Unix seconds. */
  at: number
  streams: number
  users: number
  published: number | null
  delivered: number | null
  p50: number | null
  p95: number | null
  p99: number | null
}

/** A chart shows 15 minutes, with a sample at least every two seconds. */
const shownSeconds = 15 * 60
const mostSamples = 450
/** Percentiles are calculated over the last minute. */
const windowSeconds = 60

/** Calculates rates and percentiles of all instances from the totals of each since its start. */
export const createFigures = () => {
  let moments: Moment[] = []
  let samples: Sample[] = []

  return {
    /** Adds a moment, and returns all samples. */
    add(moment: Moment): Sample[] {
      const previous = moments.at(-1)
      moments = [...moments, moment].filter(one => secondsBetween(one, moment) <= windowSeconds)
      const [oldest = moment] = moments
      const latency = latencyBetween(oldest, moment)
      const facts = moment.instances.map(instance => instance.facts)
      samples = [
        ...samples,
        {
          at: Date.parse(moment.now) / 1000,
          streams: sum(facts.map(({ streams = 0 }) => streams)),
          users: moment.users,
          published: previous ? publishedRate(previous, moment) : null,
          delivered: previous ? deliveredRate(previous, moment) : null,
          p50: quantile(0.5, latency),
          p95: quantile(0.95, latency),
          p99: quantile(0.99, latency),
        },
      ]
        .filter(({ at }) => at > Date.parse(moment.now) / 1000 - shownSeconds)
        .slice(-mostSamples)
      return samples
    },
  }
}

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)

const secondsBetween = (a: Moment, b: Moment) =>
  Math.max(0.001, (Date.parse(b.now) - Date.parse(a.now)) / 1000)

/** The seq jumps by 2^20 when Postgres was restarted. Such a jump is not counted. */
const publishedRate = (a: Moment, b: Moment) =>
  ((b.head - a.head) % (1 << 20)) / secondsBetween(a, b)

const deliveredRate = (a: Moment, b: Moment) => {
  const grown = b.instances.map(({ id, facts }) => {
    const before = a.instances.find(instance => instance.id === id)?.facts.delivered ?? 0
    return Math.max(0, (facts.delivered ?? 0) - before)
  })
  // Instances write about every two seconds, whenever this is called.
  return sum(grown) / secondsBetween(a, b)
}

type Latency = { bounds: number[]; counts: number[] }

const latencyBetween = (a: Moment, b: Moment): Latency => {
  const bounds = b.instances.find(({ facts }) => facts.latency)?.facts.latency?.bounds ?? []
  const counts = Array<number>(bounds.length + 1).fill(0)
  for (const { id, facts } of b.instances) {
    const before = a.instances.find(instance => instance.id === id)?.facts.latency?.counts ?? []
    for (const [place, count] of (facts.latency?.counts ?? []).entries()) {
      counts[place] = (counts[place] ?? 0) + Math.max(0, count - (before[place] ?? 0))
    }
  }
  return { bounds, counts }
}

/**
 * A quantile, linear within a bucket, as histogram_quantile of Prometheus calculates it. Null when nothing was counted.
 */
export const quantile = (share: number, { bounds, counts }: Latency) => {
  const total = counts.at(-1) ?? 0
  if (total === 0) return null
  const rank = share * total
  const place = counts.findIndex(count => count >= rank)
  const upper = bounds[place]
  if (upper === undefined) return bounds.at(-1) ?? null
  const lower = bounds[place - 1] ?? 0
  const below = counts[place - 1] ?? 0
  const within = (counts[place] ?? 0) - below
  return within === 0 ? upper : lower + (upper - lower) * ((rank - below) / within)
}
