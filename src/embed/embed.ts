import { idleSeconds, pathOf } from '../http/server.ts'
import { createInstance } from '../instance.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createJsonLogger } from '../observe/logger.ts'
import { readOptions } from './options.ts'
import { createPublishing } from './publish.ts'
import type { Kairan, KairanOptions } from './types.ts'

/** Kairan in another program, with what a plugin needs besides. */
export type Embedded = Kairan & {
  id: string
  report: Report
  /** Whether a path is that of one of its routes, or below its prefix. */
  owns(path: string, method: string): boolean
  /** Begins no more streams, and ends those that are open: within `drainMs`, or at once. */
  drain(how: { hurried: boolean }): Promise<void>
}

/**
 * Makes an instance without a port. Throws a ConfigError that names every wrong option. `startsWhenUsed`: publishing
 * starts it, if nothing has.
 */
export const embed = (options: KairanOptions, { startsWhenUsed = false } = {}): Embedded => {
  const { config, prefix } = readOptions(options)
  const { heartbeatMs, drainMs, logLevel } = config
  const report = options.logger ?? createJsonLogger({ level: logLevel, base: { name: 'kairan' } })
  const { identify } = options
  const instance = createInstance(config, report, {
    host: null,
    prefix,
    ...(identify ? { identify } : {}),
  })
  const { app } = instance
  let started: Promise<void> | null = null
  let failure: unknown = null
  let drained: Promise<void> | null = null
  let stopped: Promise<void> | null = null

  const drain = ({ hurried }: { hurried: boolean }) => {
    instance.refuse()
    drained ??= instance.drain(hurried ? 0 : drainMs)
    return drained
  }
  const stop = async () => {
    await drain({ hurried: false })
    await instance.stop()
  }
  const ready = () => {
    if (stopped) throw new Error('Kairan was stopped')
    if (started) return started
    if (failure === null && startsWhenUsed) return start()
    throw failure ?? new Error('Kairan was not started: call start() first')
  }
  const start = () => {
    if (stopped) return Promise.reject(new Error('Kairan was stopped: make another one'))
    started ??= instance.start().catch(error => {
      started = null
      failure = error
      report.error({ error: messageOf(error) }, 'Kairan could not start.')
      throw error
    })
    return started
  }
  const streamPath = `${prefix}/notifications/stream`

  return {
    ...createPublishing({
      publish: instance.publish,
      withdraw: instance.withdraw,
      ready: async () => ready(),
    }),
    id: crypto.randomUUID(),
    report,
    async fetch(request, server) {
      if (isBunServer(server)) {
        // Else its address is unknown.
        app.server = server
        // The server's own limit may be shorter than the heartbeat.
        if (pathOf(request) === streamPath) server.timeout(request, idleSeconds(heartbeatMs))
      } else instance.heartbeatWithin(unknownIdleMs)
      return app.fetch(request)
    },
    start,
    drain,
    stop() {
      stopped ??= stop()
      return stopped
    },
    reasons: instance.reasons,
    owns: ownershipOf(app.routes, prefix),
  }
}

/** Bun closes a quiet connection after 10 s where nobody says otherwise. */
const unknownIdleMs = 7000

const isBunServer = (server: unknown): server is Bun.Server<unknown> =>
  typeof server === 'object' &&
  server !== null &&
  'requestIP' in server &&
  'timeout' in server &&
  typeof server.timeout === 'function'

/**
 * Below a prefix everything is Kairan's; without one, what it has a route for, but not the home page. Of a route with a
 * parameter only its methods: `DELETE /notifications/{id}` must not hide an application's `GET /notifications/mine`.
 */
const ownershipOf = (routes: readonly { path: string; method: string }[], prefix: string) => {
  if (prefix !== '') {
    return (path: string) => path === prefix || path.startsWith(`${prefix}/`)
  }
  const ours = routes.filter(({ path }) => path !== '/')
  const fixed = new Set(ours.map(({ path }) => path).filter(path => !path.includes(':')))
  const patterns = ours
    .filter(({ path }) => path.includes(':'))
    .map(({ path, method }) => ({
      method,
      pattern: new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/:[^/]+/g, '[^/]+')}$`),
    }))
  return (path: string, method: string) => {
    const plain = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
    return (
      fixed.has(plain) ||
      patterns.some(route => route.method === method && route.pattern.test(plain))
    )
  }
}
