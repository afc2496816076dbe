import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import type { Sample } from './figures.ts'
import { samples } from './state.ts'

type Line = { name: string; of(sample: Sample): number | null; color: string }

/** A chart of the last 15 minutes. It is redrawn when there is a new sample. */
export const Chart = ({
  title,
  lines,
  format,
}: {
  title: string
  lines: Line[]
  format(value: number): string
}) => {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)

  useEffect(() => {
    const element = place.current
    if (!element) return
    const colorOf = (name: string) => resolveColor(element, name)
    const draw = () => {
      plot.current?.destroy()
      const axis = {
        stroke: colorOf('--quiet'),
        grid: { stroke: colorOf('--line'), width: 1 },
        ticks: { show: false },
        font: '11px system-ui',
      }
      plot.current = new uPlot(
        {
          width: element.clientWidth,
          height: 160,
          cursor: { y: false, points: { size: 5 } },
          legend: { live: true },
          hooks: { setCursor: [showNewest], setData: [showNewest] },
          scales: { y: { range: (_plot, _low, high) => [0, Math.max(high * 1.1, 1e-3)] } },
          axes: [
            { ...axis, space: 60 },
            { ...axis, size: 52, values: (_plot, ticks) => ticks.map(format) },
          ],
          series: [
            {},
            ...lines.map(({ name, color }) => ({
              label: name,
              stroke: colorOf(color),
              width: 1.5,
              points: { show: false },
              value: (_plot: uPlot, value: number | null) => (value === null ? '–' : format(value)),
            })),
          ],
        },
        dataOf(samples.value, lines),
        element,
      )
    }
    draw()
    const resized = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: 160 }),
    )
    resized.observe(element)
    const theme = matchMedia('(prefers-color-scheme: dark)')
    theme.addEventListener('change', draw)
    const unsubscribe = samples.subscribe(all => plot.current?.setData(dataOf(all, lines)))
    return () => {
      unsubscribe()
      resized.disconnect()
      theme.removeEventListener('change', draw)
      plot.current?.destroy()
      plot.current = null
    }
  }, [])

  return (
    <figure class="card chart">
      <figcaption>{title}</figcaption>
      <div ref={place} />
    </figure>
  )
}

/** Where the pointer is not on the chart, the legend has the newest values. */
const showNewest = (plot: uPlot) => {
  if (plot.cursor.idx == null) plot.setLegend({ idx: plot.data[0].length - 1 }, false)
}

/** The current color of a custom property: a canvas does not support `light-dark()`. */
const resolveColor = (element: HTMLElement, name: string) => {
  const probe = document.createElement('i')
  probe.style.color = `var(${name})`
  element.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}

/** The lines begin a minute before the first sample: of one moment alone, uPlot would show years. */
const dataOf = (all: Sample[], lines: Line[]): uPlot.AlignedData => {
  const [first] = all
  return [
    [...(first ? [first.at - 60] : []), ...all.map(({ at }) => at)],
    ...lines.map(line => [...(first ? [null] : []), ...all.map(line.of)]),
  ]
}
