import { cors } from '@elysiajs/cors'
import { type AnyElysia, Elysia } from 'elysia'
import { KairanError, messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createHostCheck } from './hosts.ts'
import { problem, toKairanError } from './problem.ts'
import { exposedHeaders } from './user-header.ts'

export type HttpServer = {
  url: string
  /** Closes the listener at once, and after a second what is still open. */
  stop(): Promise<void>
}

/** Serves these routes. `port` 0 picks a free one; `sharesPort` leaves it open to others that share it. */
export const serve = (options: {
  host: string
  port: number
  sharesPort: boolean
  heartbeatMs: number
  corsOrigins: readonly string[]
  allowedHosts: readonly string[]
  report: Report
  /** Hears the code of each answer that lets somebody not in. */
  refused(code: string): void
  routes: AnyElysia[]
}): HttpServer => {
  const { report } = options
  const isOurs = createHostCheck(options.host, options.allowedHosts)
  const app = new Elysia()
    .onError(({ code, error, request }) => {
      const known = toKairanError(code, error)
      if (known.status === 401 || known.status === 403) options.refused(known.code)
      if (known.status >= 500) {
        // The path alone: a query can hold a ticket.
        const facts = { path: pathOf(request), error: messageOf(known.cause ?? error) }
        if (known.status === 500) report.error(facts, 'A request failed.')
        else report.warn(facts, 'A request could not be served now.')
      }
      return problem(known)
    })
    .use(crossOrigin(options.corsOrigins))
    .onRequest(({ request }) => {
      if (request.url.length > maxUrlLength) {
        throw new KairanError(
          'url_too_long',
          `The URL has more than the ${maxUrlLength} characters that are allowed.`,
        )
      }
      if (isOurs(request.headers.get('host') ?? '') || probes.has(pathOf(request))) return
      throw new KairanError(
        'host_forbidden',
        'This service does not serve that Host. Its operator can list the name in ALLOWED_HOSTS.',
      )
    })
  for (const routes of options.routes) app.use(routes)
  app.listen({
    hostname: options.host,
    port: options.port,
    // Not without need: it lets a forgotten process on the same port take half of the requests.
    reusePort: options.sharesPort,
    // Above the heartbeat, so that it ends only connections on which nothing moves. 255 is Bun's most.
    idleTimeout: Math.min(255, Math.max(10, Math.ceil((options.heartbeatMs * 4) / 1000))),
    // Beyond its limit Bun answers without a word of why. Whoever reads a body has a limit: see body.ts.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  })
  const { server } = app
  if (!server) throw new Error('The HTTP server did not start')
  return {
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${server.port}`,
    async stop() {
      const timer = setTimeout(() => void server.stop(true), 1000)
      await app.stop()
      clearTimeout(timer)
    },
  }
}

/** The longest that means anything here names three channels, of 205 characters each, in a query. */
const maxUrlLength = 8192

/** What asks for these knows an address and no name, and they tell nothing about anybody. */
const probes = new Set(['/livez', '/readyz', '/metrics'])

const pathOf = (request: Request) => URL.parse(request.url)?.pathname ?? ''

/** Lets pages of these origins read what is answered, errors too; none without a list. */
const crossOrigin = (origins: readonly string[]) => {
  if (origins.length === 0) return new Elysia()
  const listed = new Set(origins)
  return cors({
    // Not the list itself: the plugin looks an Origin up in an object, which also "has" a constructor.
    origin: request => listed.has(request.headers.get('origin') ?? ''),
    credentials: true,
    methods: ['GET', 'POST'],
    allowedHeaders: [
      'Authorization',
      'Content-Type',
      'Idempotency-Key',
      'Last-Event-ID',
      'traceparent',
    ],
    exposeHeaders: exposedHeaders,
    maxAge: 600,
  })
}
