/** An Elysia application with the plugin. */
import { Elysia } from 'elysia'
import { kairan } from 'kairan/elysia'

const app = new Elysia()
  .use(
    kairan({
      databaseUrl: process.env.DATABASE ?? '',
      prefix: '/kairan',
      drainMs: 0,
      logLevel: 'warn',
      identify: ({ request, cookie }) => {
        const userId: string | undefined =
          request.headers.get('x-user') ?? cookie.session?.value ?? undefined
        return userId === undefined ? null : { userId, expiresAt: new Date(Date.now() + 60_000) }
      },
    }),
  )
  .get('/', () => new Response(Bun.file('page.html')))
  .post('/ship', async ({ kairan }) => {
    const { id } = await kairan.publish('user-1', { n: 2 }, { type: 'order.shipped' })
    // @ts-expect-error: there is no such option.
    void (() => kairan.publish('user-1', {}, { kind: 'order.shipped' }))
    return { id: id satisfies string }
  })
  .listen({ port: 0, hostname: '127.0.0.1' })

// @ts-expect-error: the database is missing.
void (() => kairan({ prefix: '/kairan' }))

console.log(`http://127.0.0.1:${app.server?.port}`)
process.on('SIGTERM', () => app.stop().then(() => process.exit(0)))
