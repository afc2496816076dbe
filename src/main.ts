import { findMistaken } from './config/mistaken.ts'
import {
  type Config,
  ConfigError,
  printConfig,
  readConfig,
  readDatabaseUrl,
  readListen,
  readSigning,
  settingNames,
} from './config.ts'
import { messageOf } from './lib/errors.ts'
import type { Report } from './lib/report.ts'
import { version } from './lib/version.ts'
import { createLogger } from './observe/logger.ts'
import { migrate } from './postgres/migrate.ts'
import { checkHealth } from './process/healthcheck.ts'
import { findPort } from './process/port.ts'
import { setRole } from './process/role.ts'
import { makeToken } from './process/token.ts'
import { asksForHelp, usage, usageOf } from './process/usage.ts'
import { createWorkers } from './process/workers.ts'
import { createService } from './service.ts'

/** Exit codes EX_USAGE and EX_CONFIG of sysexits.h. */
const exitUsage = 64
const exitConfig = 78

const main = async (command = 'start', ...options: string[]) => {
  const help = usageOf(command)
  if (help !== undefined && asksForHelp(options)) return console.log(help)
  requireKnown(command, options)
  switch (command) {
    case 'start':
      return start(options)
    case 'worker':
      return work(options)
    case 'dev': {
      const { dev } = await import('./dev/dev.ts')
      return process.exit(await dev(process))
    }
    case 'migrate':
      return migrateOnly()
    case 'config':
      return showConfig()
    case 'token':
      return console.log(await makeToken(options, readSigning(await settings())))
    case 'role':
      return console.log(await setRole(options, readDatabaseUrl(await settings())))
    case 'version':
    case '--version':
      return console.log(version)
    case 'help':
    case '--help':
    case '-h':
      return console.log(usageOf(options[0] ?? '') ?? usage)
    case 'healthcheck': {
      const { isReady, answer } = await checkHealth(readListen(process.env))
      if (isReady) console.log(answer)
      else console.error(answer)
      return process.exit(isReady ? 0 : 1)
    }
    default:
      return refuseUsage(`${usage}\n\nThere is no command "${command}".`)
  }
}

/** A command that takes no options says so: `start --port 3001` would serve on another port than the operator means. */
const requireKnown = (command: string, options: string[]) => {
  if (!['start', 'dev', 'migrate', 'config', 'healthcheck', 'version'].includes(command)) return
  const known = command === 'start' ? /^--(demo|parent=\d+)$/ : /^$/
  const unknown = options.find(option => !known.test(option))
  if (unknown === undefined) return
  refuseUsage(
    `${usageOf(command)}\n\n${command} has no option "${unknown}". Settings come from the environment.`,
  )
}

const refuseUsage = (message: string) => {
  console.error(message)
  process.exit(exitUsage)
}

/** The environment; in a checkout in which `dev` was started, with the secret and the database of `dev`. */
const settings = async () => {
  if (Bun.isStandaloneExecutable) return process.env
  const { devSettings } = await import('./dev/settings.ts')
  const set = Object.entries(process.env).filter(([, value]) => value?.trim())
  return { ...(await devSettings()), ...Object.fromEntries(set) }
}

const start = async (options: string[]) => {
  const demo = options.includes('--demo')
  const config = readConfig(process.env)
  if (config.workers > 1 && process.platform !== 'linux') {
    throw new ConfigError([
      `WORKERS="${config.workers}": several workers can share a port on Linux only.`,
    ])
  }
  const report = await createLogger({ level: config.logLevel, pretty: demo })
  if (demo) report.warn({}, 'The demo is on: anybody can sign in as one of its users.')
  for (const { name, meant } of mistakenNames()) report.warn({ name }, mistaken(name, meant))
  surviveRejections(report)

  const { drainMs } = config
  if (config.workers > 1) return supervise(config, report, options)
  const service = createService(config, report, { demo })
  let isEnding = false
  onSignals(options, {
    async first(signal) {
      isEnding = true
      report.info({ signal, drainMs }, 'Draining. A second signal ends the process at once.')
      await service.stop()
      report.info({}, 'Kairan has stopped.')
      process.exit(0)
    },
    again: () => process.exit(130),
  })
  await service.start()
  // A signal may have come while it waited for the database.
  if (!isEnding) report.info({ url: service.url }, 'Kairan is ready.')
}

/** Keeps the workers running, and ends when they have ended. It serves nothing itself. */
const supervise = async (config: Config, report: Report, options: string[]) => {
  const { host, drainMs } = config
  const port = await findPortSoon(host, config.port)
  const program = Bun.isStandaloneExecutable ? [] : [...process.execArgv, Bun.main]
  const demo = options.includes('--demo') ? ['--demo'] : []
  const workers = createWorkers({
    count: config.workers,
    command: worker => [
      ...[process.execPath, ...program],
      ...['worker', `--number=${worker}`, `--parent=${process.pid}`, ...demo],
    ],
    env: { ...process.env, PORT: String(port), WORKERS: String(config.workers) },
    aliveMs,
    steadyMs: 10_000,
    report,
  })
  onSignals(options, {
    first(signal) {
      report.info({ signal, drainMs }, 'Draining. A second signal ends the process at once.')
      workers.stop()
    },
    again() {
      workers.kill()
      process.exit(130)
    },
  })
  const code = await workers.run()
  if (code === 0) report.info({}, 'Kairan has stopped.')
  process.exit(code)
}

/** Workers whose parent was killed give the port back when they notice. */
const findPortSoon = async (host: string, port: number) => {
  for (const end = performance.now() + orphansMs; ; ) {
    try {
      return await findPort(host, port)
    } catch (error) {
      if (performance.now() > end) throw error
      await Bun.sleep(100)
    }
  }
}

const orphansMs = 3000

/** A worker: `start` runs several of them. It is not for the command line. */
const work = async (options: string[]) => {
  const demo = options.includes('--demo')
  const config = readConfig(process.env)
  const worker = Number(optionOf(options, 'number'))
  const report = await createLogger({ level: config.logLevel, pretty: demo, worker })
  surviveRejections(report)
  const others = new Map<number, { at: number; metrics: object }>()
  process.on('message', ({ from, metrics }: WorkerMetrics) =>
    others.set(from, { at: performance.now(), metrics }),
  )
  const live = () => {
    if (process.connected) process.send?.(0)
  }
  live()
  setInterval(live, aliveMs)
  const service = createService(config, report, {
    demo,
    worker: { number: worker, others: () => recentOf(others) },
  })
  onSignals(options, {
    async first(signal) {
      // Otherwise `start` has reported it for all workers.
      const isOrphan = signal === 'orphaned'
      if (isOrphan) report.warn({}, 'The parent process has ended: draining.')
      // An orphan may be in the way of the next start.
      await service.stop({ keepsPort: !isOrphan })
      process.exit(0)
    },
    // A terminal and systemd signal `start` and the workers. At a second signal `start` ends the workers.
    again: () => undefined,
  })
  await service.start()
  process.send?.(service.url)
  const share = async () => {
    const message: WorkerMetrics = { from: worker, metrics: await service.metrics() }
    if (process.connected) process.send?.(message)
  }
  setInterval(() => void share(), shareMetricsMs)
}

/** The metrics of a worker, sent to the others: each answers `/metrics` for all. */
type WorkerMetrics = { from: number; metrics: object }

/** How often the workers send them to each other. */
const shareMetricsMs = 1000
/** How often a worker tells its parent that it does not hang. */
const aliveMs = 1000

/** The metrics of the workers that still send some: one that hangs is not ready, whatever it said. */
const recentOf = (others: Map<number, { at: number; metrics: object }>) =>
  [...others.values()]
    .filter(({ at }) => performance.now() - at < shareMetricsMs * 3)
    .map(({ metrics }) => metrics)

/** An unhandled rejection is a mistake in the code, but no reason to end all streams. */
const surviveRejections = (report: Report) =>
  process.on('unhandledRejection', error => {
    report.error(
      { error: messageOf(error) },
      'A promise was rejected and nothing handled it. Please report this.',
    )
  })

/** Within this time it is the same signal: `bun run` passes on what its process group got, too. */
const twiceMs = 300

/**
 * The end of the process `--parent` counts as a signal. A parent that was killed cannot send one, and without it the
 * worker would keep the port for ever.
 */
const onSignals = (options: string[], handle: { first(signal: string): void; again(): void }) => {
  let firstAt: number | null = null
  const end = (signal: string) => {
    const now = performance.now()
    if (firstAt !== null) return now > firstAt + twiceMs ? handle.again() : undefined
    firstAt = now
    handle.first(signal)
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  const parent = optionOf(options, 'parent')
  if (parent === undefined) return
  const timer = setInterval(() => {
    if (process.ppid === Number(parent)) return
    clearInterval(timer)
    if (firstAt === null) end('orphaned')
  }, 250).unref()
}

const optionOf = (options: string[], name: string) =>
  options.find(option => option.startsWith(`--${name}=`))?.slice(name.length + 3)

const migrateOnly = async () => {
  const applied = await migrate(readDatabaseUrl(process.env), note => console.warn(note))
  console.log(applied.length > 0 ? `Applied: ${applied.join(', ')}` : 'Nothing to apply.')
}

const showConfig = () => {
  const config = readConfig(process.env)
  console.log(printConfig(config))
  for (const { name, meant } of mistakenNames()) console.error(mistaken(name, meant))
}

const mistakenNames = () => findMistaken(process.env, settingNames())

const mistaken = (name: string, meant: string) =>
  `${name} is no setting of Kairan's, and is ignored. Is ${meant} meant?`

try {
  await main(...process.argv.slice(2))
} catch (error) {
  if (!(error instanceof ConfigError)) {
    console.error(`Kairan ended: ${messageOf(error)}`)
    process.exit(1)
  }
  console.error(error.message)
  // A setting that is missing may have been mistyped.
  for (const { name, meant } of mistakenNames()) console.error(`  ${mistaken(name, meant)}`)
  process.exit(exitConfig)
}
