/** An Elysia application with Kairan as its plugin, and some routes of its own. */
import { Elysia } from 'elysia'
import { kairan } from '../../src/embed/elysia.ts'

const [port = '', databaseUrl = '', jwtSecret = ''] = process.argv.slice(2)

const app = new Elysia()
  .use(kairan({ databaseUrl, jwtSecret, prefix: '/kairan', drainMs: 0, logLevel: 'warn' }))
  .get('/', () => 'An application')
  .get('/orders/:id', ({ params: { id } }) => ({ id }))
  .post('/orders', ({ kairan }) => kairan.publish('all-users', {}))
  .listen({ port: Number(port), hostname: '127.0.0.1' })

process.on('SIGTERM', () => app.stop().then(() => process.exit(0)))
