import { join } from 'node:path'
import { SQL } from 'bun'
import { jwtVerify, SignJWT } from 'jose'

export type App = { url: string; stop(): Promise<void> }

/**
 * The web server of an application with channels of its own. It writes rows, signs who somebody is, and hands
 * `/notifications` and `/client.js` on to Kairan, as a reverse proxy does in production.
 */
export const createApp = async (options: {
  databaseUrl: string
  /** Kairan's JWT_SECRET. */
  secret: string
  /** Where Kairan is. */
  kairan: string
  hostname?: string
  port?: number
  /** How long a step of a run takes. */
  stepMs?: number
}): Promise<App> => {
  const { kairan, stepMs = 700 } = options
  const sql = new SQL(options.databaseUrl)
  const key = new TextEncoder().encode(options.secret)
  await sql.unsafe(await Bun.file(join(import.meta.dir, 'schema.sql')).text())
  let isStopped = false

  const people = () => sql`select id, name from people order by id`

  /** Who is signed in: the token of a request, which this server has signed. */
  const personOf = async (request: Request) => {
    const token = request.headers.get('authorization')?.replace(/^Bearer /, '') ?? ''
    const verified = await jwtVerify(token, key, { algorithms: ['HS256'] }).catch(() => null)
    return verified?.payload.sub ?? null
  }

  /** A job that takes a while. Whatever happens to the page, each step is a row that changes. */
  const work = async (id: number) => {
    for (;;) {
      await Bun.sleep(stepMs)
      if (isStopped) return
      const [run] =
        await sql`update runs set step = step + 1 where id = ${id} and step < steps returning id`
      if (!run) return
    }
  }

  const actions: Record<string, (me: string, body: Record<string, string>) => Promise<unknown>> = {
    documents: me =>
      sql`
        select d.id, d.title, d.body, array_to_json(array(
          select c.person_id from collaborators c where c.document_id = d.id order by 1
        )) as people
        from documents d join collaborators c on c.document_id = d.id and c.person_id = ${me} order by d.id`,
    'documents/new': async (me, { title }) => {
      const [document] =
        await sql`insert into documents (title) values (${title ?? 'Untitled'}) returning id`
      await sql`insert into collaborators values (${document.id}, ${me})`
      return document
    },
    'documents/edit': async (me, { id, body }) => {
      const [document] = await sql`
        update documents set body = ${body ?? ''}, edited_by = ${me}
        where id = ${Number(id)} and exists (select from collaborators where document_id = ${Number(id)} and person_id = ${me})
        returning id`
      return document ?? null
    },
    'documents/share': async (me, { id, person, shared }) => {
      const [mine] =
        await sql`select from collaborators where document_id = ${Number(id)} and person_id = ${me}`
      if (!mine) return null
      return shared === 'yes'
        ? sql`insert into collaborators values (${Number(id)}, ${person}) on conflict do nothing`
        : sql`delete from collaborators where document_id = ${Number(id)} and person_id = ${person}`
    },
    'runs/new': async me => {
      const [run] =
        await sql`insert into runs (person_id, steps) values (${me}, 10) returning id, step, steps`
      void work(run.id)
      return run
    },
    'runs/one': async (me, { id }) => {
      const [run] =
        await sql`select id, step, steps from runs where id = ${Number(id)} and person_id = ${me}`
      return run ?? null
    },
    'room/messages': () =>
      sql`select * from (select id, person_id, text from messages order by id desc limit 50) m order by id`,
    'room/say': (me, { text }) =>
      sql`insert into messages (room, person_id, text) values ('lobby', ${me}, ${text?.slice(0, 500)})`,
    'room/present': () => sql`select user_id from kairan.presence_of('room-lobby') order by 1`,
  }

  const server = Bun.serve({
    hostname: options.hostname ?? '127.0.0.1',
    port: options.port ?? 0,
    // Longer than Kairan's heartbeats.
    idleTimeout: 60,
    routes: {
      ...Object.fromEntries(
        files.map(name => [`/${name === 'index.html' ? '' : name}`, page(name)]),
      ),
      '/people': async () => Response.json(await people()),
      // A real application would ask for a password. Here anybody may be anybody.
      '/session': {
        POST: async request => {
          const { user = '' } = await bodyOf(request)
          const token = await new SignJWT({ sub: user, 'kairan:subscribe': [`run-${user}-*`] })
            .setProtectedHeader({ alg: 'HS256' })
            .setExpirationTime('15 minutes')
            .sign(key)
          return Response.json({ token })
        },
      },
    },
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      if (/^\/(notifications(\/|$)|client\.js$)/.test(pathname)) {
        const headers = new Headers(request.headers)
        headers.delete('host')
        return fetch(new URL(pathname + search, kairan), {
          method: request.method,
          headers,
          body: request.body,
          // When the page goes, so does its stream.
          signal: request.signal,
          redirect: 'manual',
          decompress: false,
        })
      }
      const action = actions[pathname.slice(1)]
      if (!action || request.method !== 'POST') return problem(404, 'There is nothing here.')
      const me = await personOf(request)
      if (me === null) return problem(401, 'Sign in first.')
      return Response.json(await action(me, await bodyOf(request)))
    },
    error(error) {
      console.error(error)
      return problem(500, 'Something went wrong.')
    },
  })

  return {
    url: server.url.origin,
    async stop() {
      isStopped = true
      await server.stop(true)
      await sql.end()
    },
  }
}

const files = [
  ...['index.html', 'documents.html', 'run.html', 'room.html', 'style.css'],
  ...['app.js', 'documents.js', 'run.js', 'room.js'],
]

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
