/**
 * What do channels of the application cost? 10,000 streams with 50 of them each against streams with one; a channel
 * with many members against all-users; pages of the inbox and a resumed stream with 50 and with 1,000 channels, a
 * million deliveries in the log; 50,000 members who join in one statement. PART=streams,fanout,log,joins picks some.
 */
import { connect, type Sql } from '../src/postgres/connect.ts'
import { migrate } from '../src/postgres/migrate.ts'
import { eventually } from '../test/support/eventually.ts'
import { kairan } from './support/kairan.ts'
import { mark, openReaders, usageOf } from './support/readers.ts'
import { benchService, ownDatabase, tokenFor, tokens } from './support/server.ts'
import { fewRuns, median, printTable, quantile } from './support/table.ts'

const count = Number(process.env.STREAMS ?? 10_000)
const rows = Number(process.env.LOG_ROWS ?? 1_000_000)
const parts = process.env.PART?.split(',') ?? ['streams', 'fanout', 'log', 'joins']
const identities = await tokens(count)

/** Which channels a user has, as a set of `(channel, user_id)`. */
const channelsOfUsers = {
  'one channel each': `select 'own-' || u, u::text from generate_series(0, ${count - 1}) u`,
  '50 each, nobody else has them': `
    select 'own-' || u || '-' || c, u::text from generate_series(0, ${count - 1}) u, generate_series(1, 50) c`,
  '50 each, of 500': `
    select 'org-' || (u / 100 + c * 10) % 500, u::text from generate_series(0, ${count - 1}) u, generate_series(1, 50) c`,
}

/** The cost of opening a stream, and of one that is open. */
const openStreams = async (members: string) => {
  await using peer = await kairan()
  await peer.sql.unsafe(`insert into kairan.members (channel, user_id) ${members}`)
  await peer.sql.unsafe('vacuum analyze kairan.members')
  await using readers = await openReaders()
  // Loading and compiling happen once.
  const warm = identities.slice(0, Math.min(500, count / 10))
  await readers.open(peer.url, peer.path, warm)
  const before = await usageOf(peer.pids)
  await readers.open(peer.url, peer.path, identities.slice(warm.length))
  const opened = await usageOf(peer.pids)
  await Bun.sleep(2000)
  const idle = await usageOf(peer.pids)
  const streams = count - warm.length
  return {
    micros: ((opened.cpuMs - before.cpuMs) * 1000) / streams,
    kib: (idle.memory - before.memory) / 1024 / streams,
  }
}

const streams = async () => {
  const found = []
  for (const [name, members] of Object.entries(channelsOfUsers)) {
    const all = []
    for (let run = 0; run < fewRuns; run++) all.push(await openStreams(members))
    const [micros, kib] = [
      median(all.map(({ micros }) => micros)),
      median(all.map(({ kib }) => kib)),
    ]
    found.push({ name, micros, kib })
  }
  const [one] = found
  console.log(`${count.toLocaleString('en')} streams`)
  printTable(
    ['', 'µs CPU to open', '', 'KiB while idle', 'more'],
    found.map(({ name, micros, kib }) => [
      name,
      micros.toFixed(0),
      `${(micros / (one?.micros ?? 1)).toFixed(2)} ×`,
      kib.toFixed(1),
      (kib - (one?.kib ?? 0)).toFixed(1),
    ]),
  )
}

const text = mark + 'x'.repeat(200 - '{"text":""}'.length - 1)

const fanout = async () => {
  await using peer = await kairan()
  const { sql } = peer
  await sql.unsafe(
    `insert into kairan.members (channel, user_id) select 'org-7', u::text from generate_series(0, ${count - 1}) u`,
  )
  await using readers = await openReaders()
  await readers.open(peer.url, peer.path, identities)
  const events = 500
  const once = async (channel: string) => {
    const before = await readers.count()
    const start = performance.timeOrigin + performance.now()
    await sql`
      insert into kairan.notifications (channels, payload)
      select array[${channel}], jsonb_build_object('text', ${text}::text) from generate_series(1, ${events}::int)`
    const after = await readers.events(before.events + events * count, 300_000)
    return (events * count) / ((after.lastAtMs - start) / 1000)
  }
  await once('all-users')
  const all: number[] = []
  const own: number[] = []
  for (let run = 0; run < fewRuns; run++) {
    all.push(await once('all-users'))
    own.push(await once('org-7'))
  }
  console.log(`\nEvents a second to ${count.toLocaleString('en')} streams, one core`)
  printTable(
    ['', 'events/s', ''],
    [
      ['all-users', median(all).toFixed(0), ''],
      [
        'a channel with as many members',
        median(own).toFixed(0),
        `${(median(own) / median(all)).toFixed(2)} ×`,
      ],
    ],
  )
}

/** A log of two thousand channels, of which users have 50 and 1,000. */
const fillLog = async (sql: Sql) => {
  const id = `('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`
  await sql.unsafe(`
    insert into kairan.members (channel, user_id, since) select 'c-' || c, 'few', '-infinity' from generate_series(1, 50) c;
    insert into kairan.members (channel, user_id, since) select 'c-' || c, 'many', '-infinity' from generate_series(1, 990) c;
    alter table kairan.notifications disable trigger user;
    insert into kairan.notifications (id, channels, payload, bytes)
    select ${id}, array['c-' || n::bigint * 7919 % 2000], '{"text": "${'x'.repeat(185)}"}', 200 from generate_series(1, ${rows}) n;
    alter table kairan.notifications enable trigger user;
    insert into kairan.numbered (notification_id, channel, seq, status, recipients, created_at)
    select ${id}, 'c-' || n::bigint * 7919 % 2000, n, 'd', 1, now() from generate_series(1, ${rows}) n`)
  // Of another transaction: in the snapshot of the same one they are not done, and the service would number them again.
  await sql.unsafe(`
    insert into kairan.batches (n, head, done, done_place, place) select 2, ${rows}, pg_current_snapshot(), 0, 0`)
  await sql.unsafe('vacuum analyze kairan.notifications')
  await sql.unsafe('vacuum analyze kairan.numbered')
  await sql.unsafe('vacuum analyze kairan.members')
}

const log = async () => {
  await using database = await ownDatabase({ shared_buffers: '512MB' })
  await migrate(database.url)
  const sql = connect(database.url, { max: 1, name: 'bench', direct: true })
  await fillLog(sql)
  await using service = await benchService(database.url, { NEW_USERS: 'unread' })
  const [{ epoch = '' } = {}] = await sql<{ epoch: string }[]>`select epoch from kairan.log`
  const timesOf = async (ask: () => Promise<void>) => {
    const times: number[] = []
    for (let n = 0; n < 60; n++) {
      const begin = performance.now()
      await ask()
      if (n >= 10) times.push(performance.now() - begin)
      // Below the rate of one user.
      await Bun.sleep(20)
    }
    return times
  }
  const found: [string, number[]][] = []
  for (const user of ['few', 'many']) {
    const headers = { authorization: `Bearer ${await tokenFor(user)}` }
    const channels = user === 'few' ? 50 : 1000
    // With as many unread as there are, and with all but the newest hundred read.
    for (const [what, read] of [
      ['none read', '{}'],
      ['100 unread', `{[0,${rows - 100 * (2000 / channels)}]}`],
    ]) {
      await sql`
        insert into kairan.inboxes (user_id, read) values (${user}, ${read ?? ''}::text::int8multirange)
        on conflict (user_id) do update set read = excluded.read`
      const times = await timesOf(async () => {
        const page = await fetch(`${service.url}/notifications?limit=20`, { headers })
        await page.text()
        if (!page.ok) throw new Error(`${page.status}`)
      })
      found.push([`page of the inbox, ${channels} channels, ${what}`, times])
    }
    const missed = 100 * (2000 / channels)
    const [{ expected = 0 } = {}] = await sql<{ expected: number }[]>`
      select count(*)::int as expected from kairan.numbered d
      where seq > ${rows - missed}
        and exists (select from kairan.members m where m.channel = d.channel and m.user_id = ${user})`
    const from = `${epoch}-${rows - missed}`
    const resume = await timesOf(() => resumeOnce(service.url, headers, from, expected))
    found.push([`resume, ${channels} channels, 100 missed`, resume])
  }
  await sql.end()
  console.log(`\n${rows.toLocaleString('en')} deliveries in the log, over HTTP`)
  printTable(
    ['', 'p50 ms', 'p95 ms'],
    found.map(([name, times]) => [
      name,
      quantile(times, 0.5).toFixed(1),
      quantile(times, 0.95).toFixed(1),
    ]),
  )
}

/** Opens a stream at a cursor, and ends it when `expected` events have come; rejects when they do not within 20 s. */
const resumeOnce = async (url: string, headers: object, from: string, expected: number) => {
  const abort = new AbortController()
  let count = 0
  const late = () => abort.abort(new Error(`After ${from} came ${count} of ${expected} events`))
  const timer = setTimeout(late, 20_000)
  const { ok, status, body } = await fetch(`${url}/notifications/stream`, {
    headers: { ...headers, 'last-event-id': from },
    signal: abort.signal,
  })
  const reader = body?.getReader()
  if (!ok || !reader) throw new Error(`${status}`)
  let received = ''
  while (count < expected) {
    const { value } = await reader.read()
    if (!value) throw new Error(`The stream ended after ${count} of ${expected} events`)
    received += Buffer.from(value).toString()
    count = received.split('"channel":"c-').length - 1
  }
  clearTimeout(timer)
  abort.abort()
}

const joins = async () => {
  await using peer = await kairan()
  await using readers = await openReaders()
  await readers.open(peer.url, peer.path, identities)
  let slowest = 0
  let isOver = false
  const watch = (async () => {
    while (!isOver) {
      const begin = performance.now()
      await (await fetch(`${peer.url}/livez`)).text()
      slowest = Math.max(slowest, performance.now() - begin)
      await Bun.sleep(5)
    }
  })()
  const begin = performance.timeOrigin + performance.now()
  await peer.sql`
    insert into kairan.members (channel, user_id) select 'org-7', u::text from generate_series(0, 49999) u`
  const joined = performance.timeOrigin + performance.now()
  const before = await readers.count()
  await peer.sql`select kairan.publish('org-7', jsonb_build_object('text', ${text}::text))`
  const after = await readers.events(before.events + count)
  await eventually(() => true)
  isOver = true
  await watch
  console.log(
    `\n50,000 members join in one statement, ${count.toLocaleString('en')} of them online`,
  )
  printTable(
    ['', 'ms'],
    [
      ['the statement', (joined - begin).toFixed(0)],
      ['until all have the next event', (after.lastAtMs - joined).toFixed(0)],
      ['slowest /livez', slowest.toFixed(0)],
    ],
  )
}

for (const [name, run] of Object.entries({ streams, fanout, log, joins })) {
  if (parts.includes(name)) await run()
}
