/**
 * Runs the tests on a real Postgres: that of TEST_DATABASE_URL, or one that it starts and removes. Files run side by
 * side, in one lane more than there are cores; files that measure run afterwards, two side by side or alone. The
 * arguments go to `bun test`: parts of the paths of test files, and its options. With `--watch` they run again at each
 * change, until Ctrl-C. The last line is "N passed, N failed".
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startEmbedded } from '../src/dev/postgres/embedded.ts'
import { createTemplate } from './support/template.ts'

/** They bound seconds, and wait for most of their time, with less than a core: two of them leave the other's be. */
const waiting = [
  'test/browser/cut.test.ts',
  'test/faults/failover-random.test.ts',
  'test/faults/failover.test.ts',
]

/** They measure how long something takes, or depend on it: tests beside them would slow it down. */
const measuring = [
  'test/faults/outage.test.ts',
  'test/service/many-changes.test.ts',
  'test/service/pooler.test.ts',
  'test/stream/permissions.test.ts',
]

/** In the order of their duration, the longest first: `bun run test --update-timings` writes it anew. */
const timings = '--timings=test/timings.json'
/** Most files wait for other things than a core. More than five would need more connections than Postgres has. */
const lanes = `--parallel=${Math.min(availableParallelism() + 1, 5)}`

const root = join(import.meta.dir, '..')
let running: Bun.Subprocess | null = null
let stopped = false

const main = async () => {
  const { TEST_DATABASE_URL } = process.env
  const { files, options } = readArguments(process.argv.slice(2))
  if (files.length === 0) {
    console.error('There is no such test file. Name them by a part of their paths: test/stream')
    return process.exit(64)
  }
  // Ctrl-C reaches the tests by itself: what is left to do is to remove Postgres, and then to end.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      stopped = true
      running?.kill(signal)
    })
  }
  const run = async (url: string) => {
    await using template = await createTemplate(url)
    return await runAll(files, options, { TEST_DATABASE_URL: url, TEST_TEMPLATE: template.name })
  }
  const work = TEST_DATABASE_URL ? run(TEST_DATABASE_URL) : runEmbedded(run)
  const { passed, failed, skipped, failures } = await work.catch((error: unknown) => {
    console.error(error)
    return { ...none(), failed: 1 }
  })
  // Once more: where only the end of the output is kept, this is what one looks for.
  if (failures.length > 0) console.log(`\n${failures.join('\n\n')}\n`)
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  process.exit(failed > 0 || passed === 0 ? 1 : 0)
}

/** The test files that are named, all if none is, and what else is for `bun test`. */
const readArguments = (args: string[]) => {
  const value = { type: 'string' } as const
  const { tokens } = parseArgs({
    args,
    strict: false,
    tokens: true,
    // What follows these after a space is no path.
    options: {
      'test-name-pattern': { ...value, short: 't' },
      ...{ timeout: value, seed: value, 'rerun-each': value },
      ...{ reporter: value, 'reporter-outfile': value },
    },
  })
  const places = new Set(
    tokens.filter(({ kind }) => kind === 'positional').map(({ index }) => index),
  )
  const named = args.filter((_, index) => places.has(index)).map(path => path.replace(/^\.\//, ''))
  const files = [...new Bun.Glob('test/**/*.test.ts').scanSync(root)]
    .filter(file => named.length === 0 || named.some(part => file.includes(part)))
    .toSorted()
  return { files, options: args.filter((_, index) => !places.has(index)) }
}

const runEmbedded = async (work: (url: string) => Promise<Counts>) => {
  const directory = await mkdtemp(join(tmpdir(), 'kairan-test-'))
  // As root, the server's user has to enter it.
  await chmod(directory, 0o755)
  const settings = { max_connections: '300', max_prepared_transactions: '20' }
  const server = await startEmbedded({ directory, durable: false, settings })
  try {
    return await work(server.url)
  } finally {
    await server.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

type Environment = Record<string, string>

type Counts = {
  passed: number
  failed: number
  skipped: number
  /** What each test that failed has printed last. */
  failures: string[]
}

const none = (): Counts => ({ passed: 0, failed: 0, skipped: 0, failures: [] })

const runAll = async (files: string[], options: string[], env: Environment): Promise<Counts> => {
  const run = (group: string[], more: string[] = []) => runFiles(group, [...more, ...options], env)
  // How long these take orders nothing: few run at a time.
  const measure = (group: string[], more: string[] = []) =>
    runFiles(group, [...more, ...options.filter(option => option !== '--update-timings')], env)
  if (files.length === 1 || options.includes('--watch')) return run(files)
  const sum = none()
  const add = ({ passed, failed, skipped, failures }: Counts) => {
    sum.passed += passed
    sum.failed += failed
    sum.skipped += skipped
    sum.failures.push(...failures)
  }
  const alone = files.filter(file => measuring.includes(file))
  const calm = files.filter(file => waiting.includes(file))
  const others = files.filter(file => !alone.includes(file) && !calm.includes(file))
  if (others.length > 0) add(await run(others, [lanes, timings]))
  if (calm.length > 0 && !stopped) add(await measure(calm, ['--parallel=2', timings]))
  if (alone.length > 0 && !stopped) add(await measure(alone))
  return sum
}

/** The error, what it points at, and where from; not all that a test can print. */
const failureLines = 60

/** Takes what `bun test` prints, line by line; at the line that says that a test has failed, gives what it printed. */
const createFailures = () => {
  let file = ''
  let said: string[] = []
  let isOver = false
  return (line: string): string[] => {
    said = [...said.slice(-failureLines), line]
    if (/^test\/\S+:$/.test(line)) file = line
    // At the end it lists which tests have failed, without their errors.
    if (/^\d+ tests? (failed|skipped):$/.test(line)) isOver = true
    if (!/^\((pass|fail|skip|todo)\)/.test(line)) return []
    const failure = [file, ...said.filter(text => text !== file)].join('\n')
    said = []
    return line.startsWith('(fail)') && !isOver ? [failure] : []
  }
}

/** Runs `bun test`, shows what it prints, and counts. */
const runFiles = async (files: string[], options: string[], env: Environment): Promise<Counts> => {
  const paths = files.map(file => `./${file}`)
  const tests = Bun.spawn([process.execPath, 'test', '--timeout', '60000', ...options, ...paths], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  running = tests
  const counts = none()
  const failedAt = createFailures()
  let isComplete = false
  let isEmpty = false
  let partial = ''
  const decoder = new TextDecoder()
  for await (const bytes of tests.stderr) {
    process.stderr.write(bytes)
    const lines = (partial + decoder.decode(bytes, { stream: true })).split('\n')
    partial = lines.pop() ?? ''
    for (const line of lines.map(text => Bun.stripANSI(text))) {
      counts.failures.push(...failedAt(line))
      const [, count, word] = /^ *(\d+) (pass|fail|skip|todo)$/.exec(line) ?? []
      if (word === 'pass') counts.passed += Number(count)
      if (word === 'fail') counts.failed += Number(count)
      if (word === 'skip' || word === 'todo') counts.skipped += Number(count)
      if (/^Ran \d+ tests? across \d+ files?\./.test(line)) isComplete = true
      // By --test-name-pattern, which need not fit in each group.
      if (/^error: regex .* matched 0 tests/.test(line)) isEmpty = true
    }
  }
  const code = await tests.exited
  if (isEmpty) return counts
  // A crash, a file that could not be loaded, or an end before the last test is a failure even if none was counted.
  if ((code !== 0 || !isComplete) && counts.failed === 0) counts.failed = 1
  return counts
}

await main()
