/** A Hono application that passes on what is Kairan's. */
import { Hono } from 'hono'
import { createKairan, type Kairan, KairanError } from 'kairan'

const kairan: Kairan = createKairan({
  databaseUrl: process.env.DATABASE ?? '',
  prefix: '/kairan',
  drainMs: 0,
  logLevel: 'warn',
  identify: async ({ request, cookie }) => {
    const userId = request.headers.get('x-user') ?? cookie.session?.value
    return userId === undefined ? null : { userId, channels: ['org-*'] }
  },
})
await kairan.start()

const app = new Hono()
app.all('/kairan/*', context => kairan.fetch(context.req.raw))
app.get('/', () => new Response(Bun.file('page.html')))
app.post('/ship', async context => {
  try {
    return context.json(await kairan.publish('user-1', { n: 2 }, { type: 'order.shipped' }))
  } catch (error) {
    return context.text(error instanceof KairanError ? error.code : 'unknown', 500)
  }
})

const server = Bun.serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
console.log(`http://127.0.0.1:${server.port}`)
process.on('SIGTERM', () => kairan.stop().then(() => process.exit(0)))
