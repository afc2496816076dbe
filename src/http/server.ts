import { cors } from '@elysiajs/cors'
import { type AnyElysia, Elysia } from 'elysia'
import { KairanError, messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createHostCheck, isHost } from './hosts.ts'
import { problem, toKairanError } from './problem.ts'
import { exposedHeaders } from './user-header.ts'

/** Elysia instances with the routes of the service. */
export type Routes = AnyElysia[]

export type HttpServer = {
  url: string
  /** Listens no longer. Connections that are open go on. */
  leave(): void
  /** Closes the listening socket at once, and the connections that are still open after a second. */
  stop(): Promise<void>
}

export type AppOptions = {
  /** The address that it listens on; null within another program, which has checked the Host. */
  host: string | null
  /** What the paths of all routes begin with: empty, or like `/kairan`. */
  prefix: string
  corsOrigins: readonly string[]
  allowedHosts: readonly string[]
  report: Report
  /** Whether it is about to stop: then no proxy keeps a connection for another request. */
  isDraining(): boolean
  /** Called with the code of every 401 and 403. */
  refused(code: string): void
  routes: Routes
}

/** An application of these routes, which answers all errors as problems. It listens nowhere yet. */
export const createApp = (options: AppOptions): AnyElysia => {
  const { report, prefix } = options
  const isOurs =
    options.host === null && options.allowedHosts.length === 0
      ? () => true
      : createHostCheck(options.host ?? anyHost, options.allowedHosts)
  const again = (path: string): Response | Promise<Response> =>
    app.handle(new Request(`http://localhost${prefix}${path}`, local))
  const app = new Elysia({ prefix })
    .onError(({ code, error, request }) => {
      const known = toKairanError(code, error)
      if (known.status === 401 || known.status === 403) options.refused(known.code)
      if (known.status >= 500) {
        // Without the query, which can contain a ticket.
        const facts = { path: pathOf(request), error: messageOf(known.cause ?? error) }
        if (known.status === 500) report.error(facts, 'A request failed.')
        else report.warn(facts, 'A request could not be served.')
      }
      return problem(known)
    })
    .use(crossOrigin(options.corsOrigins))
    .onRequest(({ request, set }) => {
      // A POST on a kept connection that is closed meanwhile can't be repeated, so nginx answers 502.
      if (options.isDraining()) set.headers.connection = 'close'
      if (request.url.length > maxUrlLength) {
        throw new KairanError(
          'url_too_long',
          `The URL has more than the ${maxUrlLength} characters that are allowed.`,
        )
      }
      const host = request.headers.get('host') ?? (options.host === null ? hostIn(request) : '')
      if (isOurs(host)) return
      const path = probedBy(request, prefix, isHost(host))
      // Such a request has no URL that a route could be found by.
      if (path !== null && !isHost(host)) return again(path)
      if (path !== null) return
      throw new KairanError(
        'host_forbidden',
        'This service does not serve that Host. Its operator can list the name in ALLOWED_HOSTS.',
      )
    })
  for (const routes of options.routes) app.use(routes)
  return app
}

/** Lets an application listen. `port` 0 picks a free one. `sharesPort` lets other processes listen on it, too. */
export const listen = (
  app: AnyElysia,
  options: { host: string; port: number; sharesPort: boolean; heartbeatMs: number },
): HttpServer => {
  app.listen({
    hostname: options.host,
    port: options.port,
    // Only when needed: with it, a forgotten process on the same port would get half of the requests.
    reusePort: options.sharesPort,
    idleTimeout: idleSeconds(options.heartbeatMs),
    // Beyond its own limit Bun answers without a reason. Routes limit the bodies that they read: see body.ts.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  })
  const { server } = app
  if (!server) throw new Error('The HTTP server did not start')
  return {
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${server.port}`,
    leave() {
      void server.stop()
    },
    async stop() {
      const timer = setTimeout(() => void server.stop(true), 1000)
      await app.stop()
      clearTimeout(timer)
    },
  }
}

/**
 * After how many seconds without a byte the server closes a connection. Longer than the heartbeat, so that only
 * stalled ones are closed. Bun allows at most 255.
 */
export const idleSeconds = (heartbeatMs: number) =>
  Math.min(255, Math.max(10, Math.ceil((heartbeatMs * 4) / 1000)))

const anyHost = '0.0.0.0'

/** The host of a request that was made in this process, and so has no header. */
const hostIn = (request: Request) => URL.parse(request.url)?.host ?? ''

/** The longest sensible URL names a few channels of 205 characters each. */
const maxUrlLength = 8192

/** These are answered for any Host: probes know only an address, and the answers contain nothing about users. */
const probes = new Set(['/livez', '/readyz', '/metrics'])

/** Balancers probe without a Host, HAProxy by default with OPTIONS / in HTTP/1.0: the answer is that of `/readyz`. */
const probedBy = (request: Request, prefix: string, hasHost: boolean) => {
  const path = pathOf(request).slice(prefix.length)
  if (probes.has(path)) return path
  return request.method === 'OPTIONS' && !hasHost ? '/readyz' : null
}

const local = { headers: { host: 'localhost' } }

/** Not by URL.parse: without a Host header Bun gives a path, which is no URL. */
export const pathOf = (request: Request) =>
  /^(?:[a-z]+:\/\/[^/?#]*)?(\/[^?#]*)/i.exec(request.url)?.[1] ?? '/'

/** Lets pages of these origins read the answers, errors included. */
const crossOrigin = (origins: readonly string[]) => {
  if (origins.length === 0) return new Elysia()
  const listed = new Set(origins)
  return cors({
    // A function, because the plugin would look up the Origin in an object, which has a `constructor`.
    origin: request => listed.has(request.headers.get('origin') ?? ''),
    credentials: true,
    methods: ['GET', 'POST', 'PUT', 'DELETE'],
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
