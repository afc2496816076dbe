import type { Figures, RelayName } from './instances.ts'

type Panel = { title: string; unit: string; of(figures: Figures): number }

const panels: Panel[] = [
  { title: "Postgres' CPU for an event", unit: 'ms', of: ({ postgresMs }) => postgresMs },
  { title: 'CPU of all instances for an event', unit: 'ms', of: ({ instancesMs }) => instancesMs },
  { title: 'What a publisher waits, p50', unit: 'ms', of: ({ wait }) => wait },
  { title: 'To a client of another instance, p50', unit: 'ms', of: ({ far }) => far },
]

const colours: Record<RelayName, string> = { postgres: '#336791', nats: '#d97706' }
const dashes = ['2 3', '6 3', '']
const width = 380
const height = 240
const left = 46
const right = 16
const top = 34
const bottom = 40

/**
 * A picture of the figures: a panel for each question, a line for each relay and rate, by the number of instances. What
 * did not reach its rate is left out: it measures how long the queue was.
 */
export const curves = (all: ReadonlyMap<RelayName, Figures[]>) => {
  const flat = [...all.values()].flat().filter(hasReached)
  const rates = [...new Set(flat.map(({ perSecond }) => perSecond))].toSorted((a, b) => a - b)
  const drawn = panels.map((panel, index) => {
    const at = `translate(${(index % 2) * width} ${Math.floor(index / 2) * height})`
    return `<g transform="${at}">${drawPanel(panel, all, flat, rates)}</g>`
  })
  const legend = [...all.keys()].flatMap(relay =>
    rates.map((rate, n) => ({ relay, rate, dash: dashOf(n, rates.length) })),
  )
  const keys = legend.map(({ relay, rate, dash }, n) => {
    const x = 20 + (n % 3) * 240
    const y = height * 2 + 18 + Math.floor(n / 3) * 20
    return (
      `<line x1="${x}" y1="${y}" x2="${x + 34}" y2="${y}" ${strokeOf(relay, dash)}/>` +
      `<text x="${x + 42}" y="${y + 4}">${relay === 'nats' ? 'NATS' : 'Postgres'}, ${rate}/s</text>`
    )
  })
  const size = `${width * 2} ${height * 2 + 60}`
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size}" font-family="system-ui, sans-serif" font-size="12">\n` +
    `<title>What many instances cost</title>\n<rect width="100%" height="100%" fill="#fff"/>\n` +
    `${drawn.join('\n')}\n${keys.join('\n')}\n</svg>\n`
  )
}

const drawPanel = (
  { title, unit, of }: Panel,
  all: ReadonlyMap<RelayName, Figures[]>,
  flat: Figures[],
  rates: number[],
) => {
  const counts = [...new Set(flat.map(({ instances }) => instances))].toSorted((a, b) => a - b)
  const most = niceAbove(Math.max(...flat.map(of)))
  const x = (count: number) =>
    left + (counts.indexOf(count) * (width - left - right)) / Math.max(1, counts.length - 1)
  const y = (value: number) => height - bottom - (value / most) * (height - top - bottom)
  const grid = [0, 0.25, 0.5, 0.75, 1].map(share => {
    const at = y(most * share).toFixed(1)
    return (
      `<line x1="${left}" y1="${at}" x2="${width - right}" y2="${at}" stroke="#ddd"/>` +
      `<text x="${left - 6}" y="${Number(at) + 4}" text-anchor="end">${Number((most * share).toPrecision(3))}</text>`
    )
  })
  const ticks = counts.map(
    count =>
      `<text x="${x(count)}" y="${height - bottom + 16}" text-anchor="middle">${count}</text>`,
  )
  const lines = [...all].flatMap(([relay, figures]) =>
    rates.map((rate, n) => {
      const points = figures
        .filter(one => one.perSecond === rate && hasReached(one))
        .map(one => `${x(one.instances).toFixed(1)},${y(of(one)).toFixed(1)}`)
      return `<polyline points="${points.join(' ')}" fill="none" ${strokeOf(relay, dashOf(n, rates.length))}/>`
    }),
  )
  return (
    `<text x="${left}" y="20" font-weight="600">${title}, ${unit}</text>${grid.join('')}${ticks.join('')}` +
    `<text x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">instances</text>${lines.join('')}`
  )
}

const hasReached = ({ reached, perSecond }: Figures) => reached >= perSecond * 0.95

const strokeOf = (relay: RelayName, dash: string) =>
  `stroke="${colours[relay]}" stroke-width="2" stroke-dasharray="${dash}"`

/** The highest rate has a full line. */
const dashOf = (index: number, count: number) => dashes[dashes.length - count + index] ?? ''

const niceAbove = (value: number) => {
  const power = 10 ** Math.floor(Math.log10(value || 1))
  return ([1, 1.5, 2, 3, 4, 5, 8, 10].find(step => step * power >= value) ?? 10) * power
}
