/**
 * What do many instances cost? For each number of instances, rate and relay: the CPU time of Postgres, of all
 * instances and of NATS for an event, what a publisher waits, how long an event takes to a client of the instance that
 * numbers and of another one, and the bytes between them. Then what instances cost that only hold streams open.
 *
 * It ends after --minutes, and with what it has at the first SIGTERM or SIGINT.
 *
 *   bun bench/instances.ts --instances 1,8 --rates 200 --relays nats --seconds 8 --idle 16 --svg docs/images/instances.svg
 */
import { parseArgs } from 'node:util'
import { curves } from './support/curves.ts'
import { idleInstances } from './support/idle.ts'
import { type Figures, publishPaced, type RelayName, startInstances } from './support/instances.ts'
import { printTable } from './support/table.ts'

const { values } = parseArgs({
  options: {
    instances: { type: 'string', default: '1,2,4,8,16' },
    rates: { type: 'string', default: '50,200,1000' },
    relays: { type: 'string', default: 'postgres,nats' },
    seconds: { type: 'string', default: '8' },
    idle: { type: 'string', default: '1,16' },
    streams: { type: 'string', default: '1000' },
    svg: { type: 'string' },
    minutes: { type: 'string', default: '20' },
  },
})
const numbers = (text: string) => text.split(',').filter(Boolean).map(Number)
const relays = values.relays.split(',').filter(name => name === 'postgres' || name === 'nats')

const endAt = Date.now() + Number(values.minutes) * 60_000
let isStopped = false
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => (isStopped = true))
const isOver = () => isStopped || Date.now() > endAt

const measure = async (relay: RelayName) => {
  const found: Figures[] = []
  for (const instances of numbers(values.instances)) {
    if (isOver()) break
    await using running = await startInstances(instances, relay)
    for (const perSecond of numbers(values.rates)) {
      if (isOver()) break
      const figures = await publishPaced(running, perSecond, Number(values.seconds))
      found.push({ instances, perSecond, ...figures })
    }
  }
  return found
}

const ms = (value: number) => value.toFixed(2)
const show = (relay: RelayName, found: Figures[]) => {
  console.log(`\nRelay: ${relay}. Milliseconds; p50/p99`)
  const cpu = ['CPU/event: Postgres', 'instances', 'NATS']
  const times = ['publisher waits', 'to a client near', 'far', 'bytes/event']
  printTable(
    ['instances, rate', ...cpu, ...times],
    found.map(one => [
      `${one.instances}, ${one.perSecond}/s${one.reached < one.perSecond * 0.95 ? ` (reached ${one.reached.toFixed(0)})` : ''}`,
      ...[ms(one.postgresMs), ms(one.instancesMs), ms(one.natsMs)],
      ...[`${ms(one.wait)}/${ms(one.wait99)}`, `${ms(one.near)}/${ms(one.near99)}`],
      ...[`${ms(one.far)}/${ms(one.far99)}`, one.bytes.toFixed(0)],
    ]),
  )
}

const all = new Map<RelayName, Figures[]>()
for (const relay of relays) {
  const found = await measure(relay)
  all.set(relay, found)
  show(relay, found)
}
if (values.svg && all.size > 0) await Bun.write(values.svg, curves(all))

for (const relay of relays) {
  const rows: string[][] = []
  for (const instances of numbers(values.idle)) {
    if (isOver()) break
    const idle = await idleInstances(instances, relay, Number(values.streams))
    rows.push([
      ...[`${instances}`, ms(idle.postgresMs), ms(idle.instancesMs), ms(idle.natsMs)],
      ...[`${ms(idle.openPostgresMs)}`, `${ms(idle.openInstanceMs)}`],
    ])
  }
  if (rows.length === 0) continue
  console.log(`\nIdle, ${values.streams} streams each, relay: ${relay}. CPU, milliseconds a second`)
  const opening = ['to open one: Postgres', 'instance']
  printTable(['instances', 'Postgres', 'each instance', 'NATS', ...opening], rows)
}
