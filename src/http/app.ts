import { type AnyElysia, Elysia } from 'elysia'
import { messageOf } from '../errors.ts'
import type { Report } from '../report.ts'
import { problem, toKairanError } from './problem.ts'

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
  report: Report
  routes: AnyElysia[]
}): HttpServer => {
  const { report } = options
  const app = new Elysia().onError(({ code, error, request }) => {
    const known = toKairanError(code, error)
    if (known.status === 500) {
      const { pathname } = new URL(request.url)
      report.error({ path: pathname, error: messageOf(error) }, 'A request failed.')
    }
    return problem(known)
  })
  for (const routes of options.routes) app.use(routes)
  app.listen({
    hostname: options.host,
    port: options.port,
    // Not without need: it lets a forgotten process on the same port take half of the requests.
    reusePort: options.sharesPort,
    // Above the heartbeat, so that it ends only connections on which nothing moves. 255 is Bun's most.
    idleTimeout: Math.min(255, Math.max(10, Math.ceil((options.heartbeatMs * 4) / 1000))),
    maxRequestBodySize: 1024 * 1024,
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
