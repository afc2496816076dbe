import { join } from 'node:path'
import { SQL } from 'bun'
import { jwtVerify, SignJWT } from 'jose'

type User = { id: string; name: string; role_level: number }

export type Shop = { url: string; stop(): Promise<void> }

/**
 * The web server of a shop. It knows nothing of streams: it writes orders, signs who somebody is, and hands
 * `/notifications`, `/client.js` and `/client/element.js` on to Kairan, as a reverse proxy does in production.
 */
export const createShop = async (options: {
  databaseUrl: string
  /** Kairan's JWT_SECRET. */
  secret: string
  /** Where Kairan is. */
  kairan: string
  hostname?: string
  port?: number
}): Promise<Shop> => {
  const sql = new SQL(options.databaseUrl)
  const key = new TextEncoder().encode(options.secret)
  for (const name of ['schema.sql', 'later.sql']) {
    await sql.unsafe(await Bun.file(join(import.meta.dir, name)).text())
  }

  const server = Bun.serve({
    hostname: options.hostname ?? '127.0.0.1',
    port: options.port ?? 0,
    // Longer than Kairan's heartbeats.
    idleTimeout: 60,
    maxRequestBodySize: 2 * 1024 * 1024,
    routes: {
      '/': page('index.html'),
      ...Object.fromEntries(files.map(name => [`/${name}`, page(name)])),

      '/users': async () =>
        Response.json(await sql`select id, name, role_level from users order by id`),

      // A real shop would ask for a password. Here anybody may be anybody.
      '/session': {
        POST: async request => {
          const { user: id } = await bodyOf(request)
          const [user]: User[] = await sql`select id, name, role_level from users where id = ${id}`
          if (!user) return problem(404, 'There is no such user.')
          const token = await new SignJWT({ sub: user.id })
            .setProtectedHeader({ alg: 'HS256' })
            .setExpirationTime('15 minutes')
            .sign(key)
          return Response.json({ user, token })
        },
      },

      '/orders': {
        GET: as(async user =>
          Response.json(
            await sql`
            select o.id, o.item, o.status, o.created_at, u.name as customer
            from orders o join users u on u.id = o.user_id
            where o.user_id = ${user.id} or ${isAdmin(user)}
            order by o.id desc limit 50`,
          ),
        ),
        POST: as(async (user, request) => {
          const { item } = await bodyOf(request)
          if (!item || item.length > 100) return problem(400, 'Which tea?')
          const [order] = await sql`
            insert into orders (user_id, item) values (${user.id}, ${item}) returning id`
          return Response.json(order, { status: 201 })
        }),
      },

      '/orders/:id': {
        POST: as(async (user, request) => {
          const id = Number(new URL(request.url).pathname.split('/').at(-1))
          const { status } = await bodyOf(request)
          const isCancelled = status === 'cancelled'
          if (!isAdmin(user) && !isCancelled) return problem(403, 'Only the shop may do that.')
          const [order] = await sql`
            update orders set status = ${status}
            where id = ${id}
              and (status, ${status}::text) in (('placed', 'shipped'), ('shipped', 'delivered'), ('placed', 'cancelled'))
              and (${!isCancelled} or user_id = ${user.id})
            returning id`
          return order ? Response.json(order) : problem(409, 'Somebody was faster.')
        }),
      },

      // Customers may mute it: it has a type of its own, and is for everyone who is signed in.
      '/offers': {
        POST: as(async (user, request) => {
          const { text } = await bodyOf(request)
          if (!isAdmin(user)) return problem(403, 'Only the shop may do that.')
          if (!text || text.length > 100) return problem(400, 'What is new?')
          const [offer] = await sql`
            select kairan.publish('all-users',
              jsonb_build_object('title', 'News from the shop', 'text', ${text}::text), 'marketing.offer') as id`
          return Response.json(offer, { status: 201 })
        }),
      },
    },
    fetch(request) {
      const { pathname } = new URL(request.url)
      return /^\/(notifications(\/|$)|client(\/element)?\.js$)/.test(pathname)
        ? handOn(request)
        : problem(404, 'There is nothing here.')
    },
    error(error) {
      console.error(error)
      return problem(500, 'Something went wrong.')
    },
  })

  /** A handler for who is signed in. */
  function as<R extends Request>(handle: (user: User, request: R) => Promise<Response>) {
    return async (request: R) => {
      const token = request.headers.get('authorization')?.replace(/^Bearer /, '') ?? ''
      const verified = await jwtVerify(token, key, { algorithms: ['HS256'] }).catch(() => null)
      const id = verified?.payload.sub ?? ''
      const [user]: User[] = await sql`select id, name, role_level from users where id = ${id}`
      return user ? handle(user, request) : problem(401, 'Sign in first.')
    }
  }

  const handOn = (request: Request) => {
    const { pathname, search } = new URL(request.url)
    const headers = new Headers(request.headers)
    // Whatever the shop is called outside, Kairan is on loopback here, and answers to no other name.
    headers.delete('host')
    return fetch(new URL(pathname + search, options.kairan), {
      method: request.method,
      headers,
      body: request.body,
      // When the page goes, so does its stream.
      signal: request.signal,
      redirect: 'manual',
      decompress: false,
    })
  }

  return {
    url: server.url.origin,
    async stop() {
      await server.stop(true)
      await sql.end()
    },
  }
}

const files = ['shop.css', 'shop.js', 'bell.js', 'offers.js', 'received.js', 'session.js', 'dom.js']

const isAdmin = (user: User) => user.role_level >= 100

const page = (name: string) =>
  new Response(Bun.file(join(import.meta.dir, 'page', name)), {
    headers: {
      'cache-control': 'no-cache',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    },
  })

/** The texts of a JSON object; what is no text is left out. */
const bodyOf = async (request: Request): Promise<Record<string, string>> => {
  const body: unknown = await request.json().catch(() => null)
  if (typeof body !== 'object' || body === null) return {}
  return Object.fromEntries(
    Object.entries(body).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

const problem = (status: number, detail: string) => Response.json({ detail }, { status })
