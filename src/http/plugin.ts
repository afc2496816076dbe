import { type CreateEden, Elysia } from 'elysia'
import { pathOf } from './server.ts'

/** What a plugin answers requests with. */
export type Mounted = {
  /** Differs for each instance: Elysia takes plugins with the same one for the same plugin. */
  id: string
  owns(path: string, method: string): boolean
  fetch(request: Request, server?: unknown): Promise<Response>
  /** Connects. To call it again does nothing; whoever uses it before gets its error. */
  start(): Promise<void>
  /** Ends the streams: at once when it is `hurried`. */
  drain(how: { hurried: boolean }): Promise<void>
  stop(): Promise<void>
}

/**
 * An Elysia plugin that answers the requests of `mounted`, and adds `context` to the context as `kairan`.
 *
 * It takes them before Elysia does anything: so no hook, `derive`, `onError`, CORS header or `trace` of the application
 * is run for them, and none of Kairan's for the application. In particular `trace` can't copy streams, which would take
 * away their back-pressure.
 */
export const asPlugin = <T>(mounted: Mounted, context: T) => {
  let server: unknown = null
  let stopped: Promise<void> | null = null
  let isBegun = false
  /** Begins when the application listens, or by the first request where it only passes requests to `fetch`. */
  const begin = () => {
    if (isBegun) return
    isBegun = true
    // It has reported why it could not start, and publishing rejects with the same error.
    mounted.start().catch(() => undefined)
  }
  const answer = (request: Request) => {
    begin()
    return mounted.fetch(request, server)
  }
  const owns = (request: Request) => mounted.owns(pathOf(request), methodOf(request))
  const stop = () => {
    stopped ??= mounted.stop()
    return stopped
  }

  return new Elysia({ name: 'kairan', seed: mounted.id })
    .decorate('kairan', context)
    .wrap((fetch, request) => (owns(request) ? answer : fetch))
    .onRequest(({ request, set }) => {
      // Only in an application with `aot: false`, where Elysia knows no `wrap`.
      if (!owns(request)) return undefined
      set.headers = {}
      return answer(request)
    })
    .onStart(app => {
      if (server !== null) return
      server = app.server
      begin()
      const stopServer = app.stop
      app.stop = async closeActiveConnections => {
        // The server waits for open streams, and Elysia calls onStop after that.
        await mounted.drain({ hurried: closeActiveConnections === true })
        const ended = await stopServer(closeActiveConnections)
        await stop()
        return ended
      }
    })
    .onStop(async () => {
      await stop()
    })
}

/** The same plugin with the types of its routes below a prefix, for Eden Treaty. They are not Elysia's to infer. */
export type WithRoutes<Plugin, Prefix extends string, Routes extends Record<string, unknown>> =
  Plugin extends Elysia<
    infer Base,
    infer Singleton,
    infer Definitions,
    infer Metadata,
    infer _,
    infer Ephemeral,
    infer Volatile
  >
    ? Elysia<
        Base,
        Singleton,
        Definitions,
        Metadata,
        CreateEden<Prefix, Routes>,
        Ephemeral,
        Volatile
      >
    : never

/** The method of a request; of a preflight that of the request which is to follow (CORS). */
const methodOf = ({ method, headers }: Request) =>
  method === 'OPTIONS' ? (headers.get('access-control-request-method') ?? method) : method
