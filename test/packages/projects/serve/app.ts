/** Kairan alone under Bun.serve. */
import { createKairan } from 'kairan'

const kairan = createKairan({
  databaseUrl: process.env.DATABASE ?? '',
  prefix: '/kairan',
  drainMs: 0,
  logLevel: 'warn',
  identify: ({ request }) => ({ userId: request.headers.get('x-user') ?? '1' }),
})
await kairan.start()
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch(request, server) {
    if (new URL(request.url).pathname !== '/ship') return kairan.fetch(request, server)
    return Response.json(await kairan.publish('user-1', { n: 2 }, { type: 'order.shipped' }))
  },
})
console.log(`http://127.0.0.1:${server.port}`)
process.on('SIGTERM', () => kairan.stop().then(() => process.exit(0)))
