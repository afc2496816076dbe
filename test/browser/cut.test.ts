/**
 * The browser's own EventSource, in three engines, whose stream is cut anywhere: it returns by itself, and hears
 * each event once. It is cut around each end of a line; with `CUT_ALL=1` at every byte.
 */
import { expect, test } from 'bun:test'
import { serveCutting } from '../support/cutting-proxy.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { type EnginePage, engine, engineNames } from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'
import { ticketFor } from '../support/tickets.ts'

type Heard = { n: number[]; states: string[]; readyState: number }
type Ask = { query: string; user: string }
type Kind = { name: string; ask(url: string, user: string): Promise<Ask>; isRefused: boolean }

const byCookie = async (_: string, user: string) => ({ query: '', user })
const byTicket = async (url: string, user: string) => ({
  query: `?ticket=${await ticketFor(url, user)}`,
  user,
})
const kinds: Kind[] = [
  { name: 'with a cookie', ask: byCookie, isRefused: false },
  { name: 'by a ticket', ask: byTicket, isRefused: false },
  { name: 'with a cookie, refused at first', ask: byCookie, isRefused: true },
  { name: 'by a ticket, refused at first', ask: byTicket, isRefused: true },
]

const env = {
  RETRY_MS: '250',
  MAX_STREAMS_PER_USER: '500',
  MAX_STREAMS_PER_ADDRESS: '1000',
}

for (const name of engineNames) {
  test.concurrent(`a stream that is cut anywhere returns and resumes, in ${name}`, async () => {
    await using db = await database()
    using app = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: () => new Response('<title>App</title>', { headers: { 'content-type': 'text/html' } }),
    })
    const origin = `http://127.0.0.1:${app.port}`
    await using running = await engine(name)
    const page = await running.newPage()
    for (const kind of kinds) {
      await using service = await serve(db, {
        ...env,
        CORS_ORIGINS: origin,
        ...(kind.isRefused ? { ROLE_LEVEL_QUERY: 'select level from gone where id = $1' } : {}),
      })
      await page.goto(origin)
      const places = await placesToCut(db, service.url, kind)
      for (let at = 0; at < places.length; at += running.streams) {
        const wrong = await cutAt(
          db,
          service.url,
          page,
          kind,
          places.slice(at, at + running.streams),
        )
        expect({ kind: kind.name, wrong }).toEqual({ kind: kind.name, wrong: [] })
      }
    }
  }, 600_000)
}

let users = 0

/** Where a stream of this kind is cut: around each end of a line on the wire. */
const placesToCut = async (db: TestDatabase, url: string, kind: Kind) => {
  const { query, user } = await kind.ask(url, `first${++users}`)
  await db.sql`select kairan.publish(${`user-${user}`}, '{"n": 1}')`
  const abort = new AbortController()
  const response = await fetch(`${url}/notifications/stream${query}`, {
    headers: query ? {} : { authorization: `Bearer ${await tokenFor(user)}` },
    signal: abort.signal,
  })
  let text = ''
  const end = kind.isRefused ? '"reconnect"' : '"n"'
  const decoder = new TextDecoder()
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true })
    if (text.includes(end) && text.endsWith('\n\n')) break
  }
  abort.abort()
  // Each piece comes with its length in a line of its own: of some bytes more.
  const length = text.length + 40
  // Firefox gives up for good where nothing of the body has come but the first piece's length.
  const first = 6
  if (process.env.CUT_ALL) return Array.from({ length }, (_, at) => at + first)
  const ends = [...text.matchAll(/\n/g)].flatMap(({ index }) => [
    index - 1,
    index,
    index + 1,
    index + 2,
    index + 7,
  ])
  return [...new Set([first, ...ends.filter(at => at > first), length])].toSorted((a, b) => a - b)
}

/** Opens a stream for each place, cut there, and returns those that did not come back whole. */
const cutAt = async (
  db: TestDatabase,
  url: string,
  page: EnginePage,
  kind: Kind,
  places: number[],
) => {
  const port = Number(new URL(url).port)
  await using stack = new AsyncDisposableStack()
  const shared = `many${++users}`
  await page.evaluate(`void (document.cookie = 'kairan_token=${await tokenFor(shared)}; path=/')`)
  const sources = await Promise.all(
    places.map(async bytes => {
      const proxy = stack.use(await serveCutting(port, bytes))
      const { query, user } = await kind.ask(
        url,
        kind.name.includes('cookie') ? shared : `u${++users}`,
      )
      return { bytes, user, url: `${proxy.url}/notifications/stream${query}` }
    }),
  )
  const said = [...new Set(sources.map(({ user }) => user))]
  const publish = (n: number) =>
    Promise.all(
      said.map(user => db.sql`select kairan.publish(${`user-${user}`}, ${db.sql.json({ n })})`),
    )
  const isShared = said.length < sources.length
  // What is pending goes to one stream only, so those that share a user get none.
  if (!isShared) await publish(1)
  await page.evaluate(open(sources.map(source => source.url)))
  const heard = () => page.evaluate<Heard[]>('heard()')
  const all = async (isTrue: (it: Heard) => boolean) => (await heard()).every(isTrue)
  if (kind.isRefused) {
    await eventually(() => all(({ states }) => states.length > 0))
    await db.sql`create table gone (id text, level int)`
  }
  await eventually(() =>
    all(({ states, readyState }) => readyState === 2 || states.includes('ready')),
  )
  // Those that have been cut by now are away: they have to ask for it.
  for (const n of [2, 3]) await publish(n)
  // What was pending may have been given to the stream that was cut: who had no id of it can't ask for it again.
  const isNew = ({ states }: Heard) => !kind.isRefused && states[0] === 'error'
  const isWhole = (it: Heard) =>
    !it.states.includes('broken') &&
    (`${it.n}` === (isShared ? '2,3' : '1,2,3') || (isNew(it) && `${it.n}` === '2,3'))
  await eventually(() => all(isWhole), 60_000).catch(() => null)
  const wrong = (await heard()).flatMap((it, index) =>
    isWhole(it) ? [] : [{ bytes: sources[index]?.bytes, ...it }],
  )
  await page.evaluate('void sources.forEach(source => source.close())')
  if (kind.isRefused) await db.sql`drop table gone`
  return wrong
}

const open = (urls: string[]) => `void (() => {
  window.sources = ${JSON.stringify(urls)}.map(url => {
    const source = new EventSource(url, { withCredentials: true })
    source.n = []
    source.states = []
    // A part of an event is no event.
    const parse = data => { try { return JSON.parse(data) } catch { return { payload: { n: data } } } }
    source.onmessage = ({ data }) => source.n.push(parse(data).payload.n)
    source.onerror = () => source.states.push('error')
    source.addEventListener('control', ({ data }) => source.states.push(parse(data).type ?? 'broken'))
    return source
  })
  window.heard = () => sources.map(({ n, states, readyState }) => ({ n, states, readyState }))
})()`
