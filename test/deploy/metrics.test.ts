/** The alert rules and the Grafana dashboard ask for metrics that exist, in PromQL that parses. */
import { expect, test } from 'bun:test'
import { parser } from '@prometheus-io/lezer-promql'
import { createMetrics } from '../../src/observe/metrics.ts'

const metrics = createMetrics({
  version: '0',
  state: () => ({
    streams: 0,
    users: 0,
    head: 0,
    statusesWaiting: 0,
    statusesDropped: 0,
    listening: true,
    problem: null,
  }),
  queueUsage: async () => 0,
})

/** The metrics that an expression asks for. Throws when it does not parse. */
const metricsIn = (expression: string) => {
  const names: string[] = []
  parser.parse(expression).iterate({
    enter({ type, from, to }) {
      if (type.isError) throw new Error(`Not PromQL at ${from}: ${expression}`)
      if (type.name === 'Identifier') names.push(expression.slice(from, to))
    },
  })
  return names
}

const known = async () => {
  const { body } = await metrics.text()
  const families = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)]
  return new Set([
    'up', // of Prometheus itself
    ...families.flatMap(([, name = '', type]) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  ])
}

const unknownIn = async (expressions: string[]) => {
  const names = await known()
  return expressions.flatMap(metricsIn).filter(name => !names.has(name))
}

type Rule = { alert: string; expr: string; annotations: { summary: string; description: string } }

test('the alert rules ask for metrics that there are, and say what to do', async () => {
  const text = await Bun.file('deploy/prometheus/alerts.yaml').text()
  const { groups } = Bun.YAML.parse(text) as { groups: { rules: Rule[] }[] }
  const rules = groups.flatMap(group => group.rules)
  expect(rules.length).toBeGreaterThan(5)
  expect(await unknownIn(rules.map(({ expr }) => expr))).toEqual([])
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  for (const { annotations } of rules) {
    expect(annotations.summary.length).toBeGreaterThan(10)
    expect(annotations.description.length).toBeGreaterThan(20)
  }
})

type Dashboard = { panels: { title: string; targets: { expr: string }[] }[] }

test('the Grafana dashboard asks for metrics that there are', async () => {
  const { panels }: Dashboard = await Bun.file('deploy/grafana/kairan.json').json()
  expect(panels.length).toBeGreaterThan(10)
  expect(await unknownIn(panels.flatMap(p => p.targets.map(({ expr }) => expr)))).toEqual([])
})

test('what is wrong in an expression is found', async () => {
  expect(await unknownIn(['sum(kairan_nothing) + rate(kairan_streams_opened_total[5m])'])).toEqual([
    'kairan_nothing',
  ])
  expect(() => metricsIn('sum(kairan_streams')).toThrow('Not PromQL')
})
