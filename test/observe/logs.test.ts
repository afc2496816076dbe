/** The lines that docs/operating.md promises, from a process of its own. */
import { expect, test } from 'bun:test'
import { open, openReady } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { isReady } from '../support/process.ts'
import { tokenFor } from '../support/service.ts'
import { type Line, supervise } from '../support/supervisor.ts'

const page = await Bun.file('docs/operating.md').text()

/** The table of lines: what `msg` says, its level, and the members that it has besides. */
const promised = new Map(
  [...page.matchAll(/^\| `([A-Z][^`]+\.)` \| (\d\d) \| ([^|]*) \|/gm)].map(
    ([, msg = '', level, facts = '']) => [
      msg,
      {
        level: Number(level),
        facts: [...facts.matchAll(/`(\w+)`/g)].map(([, name = '']) => name),
        // In parentheses: not in each line.
        optional: [...facts.matchAll(/\(`(\w+)`/g)].map(([, name = '']) => name),
      },
    ],
  ),
)

/** Whether a line is as all lines are, and as the page says of its message. */
const check = (line: Line) => {
  const { level, time, msg, worker, error } = line
  expect([10, 20, 30, 40, 50, 60]).toContain(Number(level))
  expect(String(time)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  expect(msg.length).toBeGreaterThan(0)
  if (worker !== undefined) expect(worker).toBeNumber()
  if (error !== undefined) expect(error).toBeString()
  const known = promised.get(msg)
  if (!known) return
  expect({ msg, level }).toEqual({ msg, level: known.level })
  const facts = Object.keys(line).filter(name => !common.includes(name))
  expect({ msg, more: facts.filter(name => !known.facts.includes(name)) }).toEqual({
    msg,
    more: [],
  })
  const missing = known.facts.filter(name => ![...facts, ...known.optional].includes(name))
  expect({ msg, missing }).toEqual({ msg, missing: [] })
}

const common = ['level', 'time', 'msg', 'worker']

test('start, a refusal, an outage and the drain are lines of the shape that is documented', async () => {
  await using server = await cluster()
  await using service = supervise(server, { WORKERS: '1', MAX_STREAMS: '1', DRAIN_MS: '100' })
  const { lines } = service
  const has = (msg: string) => eventually(() => lines.find(line => line.msg === msg))
  const url = await service.url()
  expect(await has('Kairan is ready.')).toMatchObject({ level: 30, url })

  const token = await tokenFor('42')
  await using _one = await openReady(url, { token })
  await using _two = await open(url, { token })
  expect(await has('Streams are refused for now.')).toMatchObject({ reason: 'overloaded' })

  await server.stop('immediate')
  await has('The log can not be read.')
  await has('LISTEN is down: delivery goes on by polling.')
  await server.start()
  await has('The log is read.')
  await has('LISTEN is up again.')
  await eventually(() => isReady(url))

  service.process.kill('SIGTERM')
  expect(await service.process.exited).toBe(0)
  await has('Draining. A second signal ends the process at once.')
  await has('Kairan has stopped.')
  for (const line of lines) check(line)
  expect(lines.filter(({ msg }) => promised.has(msg)).length).toBeGreaterThan(5)
  expect(service.stderr).toBe('')
}, 60_000)

test('a line of a worker has its number', async () => {
  await using server = await cluster()
  await using service = supervise(server, { MAX_STREAMS: '1' })
  await service.url()
  for (const line of service.lines) check(line)
  expect(service.lines.filter(({ worker }) => worker !== undefined).length).toBeGreaterThan(0)
}, 60_000)

test('each line that the page promises is in the source', async () => {
  expect(promised.size).toBeGreaterThan(8)
  const sources = [...new Bun.Glob('src/**/*.ts').scanSync('.')]
  const text = (await Promise.all(sources.map(path => Bun.file(path).text()))).join('\n')
  expect([...promised.keys()].filter(msg => !text.includes(`'${msg}'`))).toEqual([])
})
