/** The alert rules and the Grafana dashboard ask for metrics that exist, in PromQL that parses. */
import { describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parser } from '@prometheus-io/lezer-promql'
import { createMetrics } from '../../src/observe/metrics.ts'
import { reasonsOf } from '../support/description.ts'

const metrics = createMetrics({
  version: '0',
  queueUsage: async () => 0,
  followUps: async () => ({}),
  scheduled: async () => ({}),
  databaseAheadMs: () => 0,
})
metrics.watch(() => ({
  streams: 0,
  users: 0,
  head: 0,
  statusesWaiting: 0,
  statusesDropped: 0,
  listening: true,
  isLeading: true,
  isRelayUp: true,
  problem: null,
}))

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

const counted = async (name: string) => {
  const { body } = await metrics.text()
  return [...body.matchAll(new RegExp(`^${name}\\{\\w+="(\\w+)"\\} 0$`, 'gm'))].map(
    ([, value = '']) => value,
  )
}

test('each label value that is known begins at 0, so that an alert sees the first', async () => {
  const ended = await counted('kairan_streams_ended_total')
  const refused = await counted('kairan_streams_refused_total')
  expect(ended).toContain('client')
  expect(await counted('kairan_gaps_total')).toEqual(reasonsOf('gap'))
  const reasons = reasonsOf('reconnect')
  expect(reasons).toContain('draining')
  expect(reasons.filter(reason => ![...ended, ...refused].includes(reason))).toEqual([])
  expect(await counted('kairan_live_events_total')).toEqual(['dispatched', 'refused'])
  expect(await counted('kairan_auth_failures_total')).toContain('channel_forbidden')
})

/** Whether an alert fires at a moment, by what Prometheus' own promtool says of these samples. */
const firesAfter = async (alert: string, minutes: number, series: Record<string, string>) => {
  const folder = await mkdtemp(join(tmpdir(), 'kairan-alerts-'))
  const test = {
    rule_files: [join(import.meta.dir, '../../deploy/prometheus/alerts.yaml')],
    evaluation_interval: '15s',
    tests: [
      {
        interval: '15s',
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        // It says that nothing fires: where something does, promtool fails and shows what.
        alert_rule_test: [{ eval_time: `${minutes}m`, alertname: alert, exp_alerts: [] }],
      },
    ],
  }
  await Bun.write(join(folder, 'test.json'), JSON.stringify(test))
  const tool = Bun.spawn([promtool ?? 'promtool', 'test', 'rules', join(folder, 'test.json')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = (
    await Promise.all([new Response(tool.stdout).text(), new Response(tool.stderr).text()])
  ).join('')
  await rm(folder, { recursive: true })
  if ((await tool.exited) === 0) return false
  if (!said.includes(`alertname: ${alert}`)) throw new Error(said)
  return true
}

const promtool = Bun.which('promtool')

describe.skipIf(!promtool && !process.env.CI)('promtool', () => {
  test('takes the rules', async () => {
    const tool = Bun.spawn([promtool ?? '', 'check', 'rules', 'deploy/prometheus/alerts.yaml'])
    expect(await tool.exited).toBe(0)
  })

  test('the first gap fires an alert, as its series was at 0 before', async () => {
    const gaps = (values: string) => ({ 'kairan_gaps_total{reason="log"}': values })
    expect(await firesAfter('KairanGaps', 10, gaps('0x19 1x40'))).toBe(true)
    expect(await firesAfter('KairanGaps', 10, gaps('0x60'))).toBe(false)
    // Without the 0 nobody would have heard of it.
    expect(await firesAfter('KairanGaps', 10, gaps('_x19 1x40'))).toBe(false)
  })

  test('clocks that differ fire their own alert, and none for what is late', async () => {
    const clock = { 'kairan_database_clock_ahead_seconds{instance="a"}': '-60x100' }
    expect(await firesAfter('KairanClocksDiffer', 20, clock)).toBe(true)
    expect(await firesAfter('KairanSlow', 20, clock)).toBe(false)
    // Of 60 events a minute each takes 2 s.
    const slow = {
      'kairan_delivery_latency_seconds_bucket{le="1"}': '0x100',
      'kairan_delivery_latency_seconds_bucket{le="2.5"}': '0+15x100',
      'kairan_delivery_latency_seconds_bucket{le="+Inf"}': '0+15x100',
    }
    expect(await firesAfter('KairanSlow', 20, slow)).toBe(true)
  })
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
