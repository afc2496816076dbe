/**
 * How long does a page of the inbox with its unread count take for a user with a million notifications, and how long
 * a change? Over HTTP, one request after the other; then the plans of Postgres. LOG_ROWS is the length of the whole log,
 * such as 10000000 (takes minutes): every n-th delivery is the user's.
 */

import postgres from 'postgres'
import { connect, type Sql } from '../src/postgres/connect.ts'
import { migrate } from '../src/postgres/migrate.ts'
import { cpuOfPostgres, postmasterOf } from './support/cpu.ts'
import { benchService, ownDatabase, tokenFor } from './support/server.ts'
import { printTable, quantile } from './support/table.ts'

const mine = 1_000_000
const every = Math.max(1, Math.round(Number(process.env.LOG_ROWS ?? mine) / mine))
const head = mine * every
const requests = Number(process.env.REQUESTS ?? 200)

type Case = {
  name: string
  /** The ranges of positions that are read. */
  read: string
  query?: string
  post?: (n: number) => object
}

const allRead = `{[0,${head + 1})}`
const scattered = `(select '${allRead}'::int8multirange - range_agg(int8range(n * ${head / 1000} + ${every}, n * ${head / 1000} + ${every} + 1)) from generate_series(1, 999) n)`

const fill = async (sql: Sql) => {
  const id = `('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`
  // One in ten is for all users.
  const channel = `case when n % ${every} > 0 then 'user-' || 1000 + n % 10000
    when n / ${every} % 10 = 0 then 'all-users' else 'user-42' end`
  await sql.unsafe(`
    alter table kairan.notifications disable trigger user;
    insert into kairan.notifications (id, channels, payload, bytes, type, expires_at)
    select ${id}, array[${channel}], '{"text": "${'x'.repeat(185)}"}', 200,
      case when n / ${every} % 10000 = 0 then 'rare' else 't' || n / ${every} % 7 end,
      case when n / ${every} % 10 = 3 then now() - interval '1 hour' end
    from generate_series(1, ${head}) n;
    alter table kairan.notifications enable trigger user;
    insert into kairan.numbered (notification_id, channel, type, seq, status, recipients, created_at, expires_at)
    select id, channels[1], type, ('x' || right(id::text, 12))::bit(48)::bigint, 'd', 1, now(), expires_at
    from kairan.notifications;
  `)
  // All of it has been numbered.
  await sql.unsafe(`
    insert into kairan.batches (n, head, done, done_place, place)
    select 2, ${head}, pg_current_snapshot(), 0, 0`)
  await sql.unsafe('vacuum analyze kairan.notifications')
  await sql.unsafe('vacuum analyze kairan.numbered')
}

const idsAt = async (sql: Sql) => {
  const rows = await sql<{ id: string }[]>`
    select notification_id as id from kairan.numbered
    where channel = 'user-42' and seq > 0 order by seq desc limit 20000`
  return rows.map(({ id }) => id)
}

await using database = await ownDatabase({ shared_buffers: '512MB' })
await migrate(database.url)
const sql = connect(database.url, { max: 1, name: 'bench', direct: true })
console.log(
  `Filling: ${head.toLocaleString('en')} deliveries, ${mine.toLocaleString('en')} of one user`,
)
await fill(sql)
const ids = await idsAt(sql)
const middle = `${(await sql`select epoch from kairan.log`)[0]?.epoch}-${head / 2}`
const cases: Case[] = [
  { name: 'newest 50, none read', read: '{}', query: '?limit=50' },
  { name: 'in the middle', read: '{}', query: `?limit=50&before=${middle}` },
  { name: 'half read by upTo', read: `{[0,${head / 2})}`, query: '?limit=50' },
  { name: 'all read by upTo', read: allRead, query: '?limit=50' },
  { name: '… only unread', read: allRead, query: '?limit=50&unread=true' },
  {
    name: 'newest million read, only unread',
    read: `{[${every * 100},${head + 1})}`,
    query: '?limit=50&unread=true',
  },
  { name: '999 unread, each alone', read: scattered, query: '?limit=50&unread=true' },
  { name: 'of a rare type', read: '{}', query: '?limit=50&type=rare' },
  {
    name: '… only unread, most are read',
    read: `{[${head / 20},${head + 1})}`,
    query: '?limit=50&type=rare&unread=true',
  },
  { name: 'of a common type', read: '{}', query: '?limit=50&type=t1' },
  {
    name: 'mark 20 ids, none read',
    read: '{}',
    post: n => ({ ids: ids.slice(n * 20, n * 20 + 20) }),
  },
  {
    name: 'mark up to the middle',
    read: '{}',
    post: n => ({ upTo: middle.replace(/\d+$/, String(head / 2 + n)) }),
  },
  { name: 'mark all', read: '{}', post: () => ({ all: true }) },
]

const setRead = ({ read }: Case) =>
  sql.unsafe(`
    insert into kairan.inboxes values ('42', ${read.startsWith('(') ? read : `'${read}'`})
    on conflict (user_id) do update set read = excluded.read`)

const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
const postmaster = await postmasterOf(backend?.pid ?? 0)
const headers = { authorization: `Bearer ${await tokenFor('42')}` }
const ask = async (url: string, { query = '', post }: Case, n: number) => {
  const response = await (post
    ? fetch(`${url}/notifications/read`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(post(n)),
      })
    : fetch(`${url}/notifications${query}`, { headers }))
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  return response.text()
}

const measure = async (url: string, each: Case) => {
  await setRead(each)
  const times: number[] = []
  let cpuMs = 0
  for (let n = 0; n < requests + 20; n++) {
    if (n === 20) cpuMs = await cpuOfPostgres(postmaster)
    const begin = performance.now()
    await ask(url, each, n)
    // The first requests make connections and plans. The pause keeps below the rate limits of pages and of changes.
    if (n >= 20) times.push(performance.now() - begin)
    await Bun.sleep(20)
  }
  const cpuEach = ((await cpuOfPostgres(postmaster)) - cpuMs) / requests
  const page: { unread: number; unreadIsLeast?: true; notifications?: unknown[] } = JSON.parse(
    await ask(url, each, requests),
  )
  return [
    each.name,
    ...[0.5, 0.95].map(share => quantile(times, share).toFixed(1)),
    cpuEach.toFixed(1),
    page.notifications ? String(page.notifications.length) : '',
    `${page.unread}${page.unreadIsLeast ? ' or more' : ''}`,
  ]
}

{
  await using service = await benchService(database.url)
  const rows = []
  for (const each of cases) rows.push(await measure(service.url, each))
  console.log('\nMilliseconds for each request')
  printTable(['', 'p50', 'p95', 'CPU of Postgres', 'found', 'unread'], rows)
}

// As through a pooler, without the settings of the service's sessions: the functions have their own.
const explained: string[] = []
const plain = postgres(database.url, {
  max: 1,
  onnotice: ({ message }) => explained.push(String(message)),
})
await plain.unsafe(`
  load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on;
  set auto_explain.log_nested_statements = on; set auto_explain.log_timing = off; set client_min_messages = log`)
for (const each of cases.filter(({ query }) => query)) {
  await setRead(each)
  const query = new URLSearchParams(each.query)
  explained.length = 0
  await plain`
    select from kairan.inbox_page('42', '{user-42,all-users}', ${query.get('type') ? `{${query.get('type')}}` : null},
      ${query.get('before') ? head / 2 : head + 1}, ${query.get('unread') === 'true'}, false, 50)`
  const plans = explained.filter(text => / on (numbered|notifications)\b/.test(text))
  console.log(
    `\n${each.name}: ${plans.length} statements, the last of them, what of it was carried out:`,
  )
  const plan = plans.at(-1)?.split('\n') ?? []
  for (const line of plan.slice(plan.findIndex(text => /\(cost=/.test(text)))) {
    if (!line.includes('never executed'))
      console.log(`  ${line.replace(/\(cost=\S+ rows=\d+ width=\d+\) /, '')}`)
  }
}
await Promise.all([sql.end(), plain.end()])
