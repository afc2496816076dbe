import { ConfigError, readConfig, readDatabaseUrl, unknownSettings } from './config.ts'
import { messageOf } from './errors.ts'
import { createLogger } from './logger.ts'
import { migrate } from './postgres/migrate.ts'
import { createService } from './service.ts'

/** EX_CONFIG of sysexits.h. */
const exitConfig = 78

const usage = `Usage: kairan <command>

  start        serve (the default)
  dev          serve with a Postgres of its own, a demo page, and a restart at every change
               (in a checkout of the source)
  migrate      bring the schema up to date, and end
  healthcheck  ask the service on HOST and PORT whether it is ready: exit code 0 or 1`

const main = async (command = 'start', ...options: string[]) => {
  switch (command) {
    case 'start':
      return start(options)
    case 'dev': {
      const { dev } = await import('./dev.ts')
      return process.exit(await dev(process))
    }
    case 'migrate':
      return migrateOnly()
    case 'healthcheck':
      return process.exit((await isReady()) ? 0 : 1)
    default:
      console.error(usage)
      return process.exit(64)
  }
}

const start = async (options: string[]) => {
  const demo = options.includes('--demo')
  const parent = options.find(option => option.startsWith('--parent='))?.slice(9)
  const config = readConfig(process.env)
  const report = await createLogger({ level: config.logLevel, pretty: demo })
  const unknown = unknownSettings(process.env)
  if (unknown.length > 0) report.warn({ unknown }, 'These settings have no effect in this version.')
  if (demo) report.warn({}, 'The demo is on: anybody can sign in as one of its users.')
  const service = createService(config, report, { demo })

  // A promise that nobody waited for is a mistake, but none that is worth everybody's stream.
  process.on('unhandledRejection', error => {
    report.error({ error: messageOf(error) }, 'An unexpected rejection: please report it.')
  })

  let asked = 0
  const stop = async (signal: string) => {
    asked++
    if (asked > 1) process.exit(130)
    report.info({ signal, drainMs: config.drainMs }, 'Draining. Once more to end at once.')
    await service.stop()
    process.exit(0)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  // `dev` was killed and could not end this: without it, it would keep the port for ever.
  const orphaned = () => process.ppid !== Number(parent) && stop('orphaned')
  if (parent) setInterval(orphaned, 1000).unref()

  await service.start()
  report.info({ url: service.url }, 'Kairan is ready.')
}

const migrateOnly = async () => {
  const applied = await migrate(readDatabaseUrl(process.env))
  console.log(applied.length > 0 ? `Applied: ${applied.join(', ')}` : 'Nothing to apply.')
}

/** For a container's health check: the image has no shell and no curl. */
const isReady = async () => {
  const { HOST = '127.0.0.1', PORT = '3000' } = process.env
  const host = HOST === '0.0.0.0' ? '127.0.0.1' : HOST
  try {
    const response = await fetch(`http://${host}:${PORT}/readyz`, {
      signal: AbortSignal.timeout(2000),
    })
    console.log(await response.text())
    return response.ok
  } catch (error) {
    console.error(messageOf(error))
    return false
  }
}

try {
  await main(...process.argv.slice(2))
} catch (error) {
  console.error(error instanceof ConfigError ? error.message : `Kairan ended: ${messageOf(error)}`)
  process.exit(error instanceof ConfigError ? exitConfig : 1)
}
