import { Elysia } from 'elysia'
import { kairan } from '../../src/embed/elysia.ts'
import type { KairanOptions } from '../../src/embed/types.ts'
import { eventually } from './eventually.ts'

/** The sign-in of the application of a test: the cookie `session` has the id of its user. */
export const identify: NonNullable<KairanOptions['identify']> = ({ cookie }) => {
  const userId = cookie.session?.value
  return userId ? { userId, publishes: userId === 'publisher' ? ['*'] : [] } : null
}

/** The headers of a user who is signed in to that application. */
export const signedIn = (userId: string) => ({ cookie: `session=${userId}` })

/** Options of a plugin that reports nothing, and ends its streams at once. */
export const options = (
  { url }: { url: string },
  more: Partial<KairanOptions> = {},
): KairanOptions => ({ databaseUrl: url, identify, drainMs: 0, logLevel: 'silent', ...more })

/** Lets an application with the plugin listen, and waits until that is ready below `prefix`. */
export const listen = async (app: Listening, prefix = '') => {
  app.listen({ port: 0, hostname: '127.0.0.1' })
  const url = `http://127.0.0.1:${app.server?.port}${prefix}`
  await eventually(async () => (await fetch(`${url}/readyz`)).ok)
  return {
    url,
    async [Symbol.asyncDispose]() {
      if (app.server) await app.stop(true)
    },
  }
}

type Listening = {
  listen(options: { port: number; hostname: string }): unknown
  stop(closeActiveConnections?: boolean): Promise<unknown>
  server: Bun.Server<unknown> | null
}

/** An application with nothing but the plugin. */
export const plain = (more: KairanOptions) => new Elysia().use(kairan(more))
