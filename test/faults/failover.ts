import { expect } from 'bun:test'
import { expectWithin } from '../support/again.ts'
import { eventually } from '../support/eventually.ts'
import { proxyTo, type TestProxy } from '../support/proxy.ts'
import { publish } from '../support/publish.ts'
import { createServers, type Server, type Servers } from '../support/servers.ts'
import { serve, tokenFor } from '../support/service.ts'
import { type Follower, follow } from './follower.ts'

/** What contract.md promises: from when the right primary answers, after something else did. */
export const promisedMs = 5000

export type World = AsyncDisposable & {
  servers: Servers
  /** The right one, whose tables are the truth. */
  primary: Server
  urls: string[]
  readers: Follower[]
  /** Leads the address of each instance to a server, or nowhere. */
  lead(to: Server | null, open?: 'kept' | 'reset'): void
  /** Commits this many notifications on a server. Resolves with their ids. */
  publishOn(server: Server, count: number): Promise<string[]>
  /** Waits until every reader has these. */
  arrived(ids: string[]): Promise<void>
  /**
   * Commits this many on the primary until every reader has them: again where an instance notices only now that the log
   * went back, and begins anew after them. That it says so with a gap is what `compare` checks.
   */
  deliver(count: number): Promise<void>
  /**
   * Waits until everything is right again, and checks that it was within 5 s of `since`: ready, publishing,
   * and each reader has what is published from then on.
   */
  isRight(since: number): Promise<void>
  /** Checks what the readers saw against the tables of the primary. */
  compare(options: { gap: boolean | 'perhaps' }): Promise<void>
}

/**
 * Two instances on a primary, each with an address of its own for it, and three readers: of a user, of an
 * admin, and of an admin's own channel, which nobody may lose for a failover.
 */
export const createWorld = async (binaries: string): Promise<World> => {
  const stack = new AsyncDisposableStack()
  const servers = stack.use(await createServers(binaries))
  const first = await servers.create()
  const proxies: TestProxy[] = []
  const urls: string[] = []
  for (let n = 0; n < 2; n++) {
    const proxy = stack.use(await proxyTo(first.port))
    proxies.push(proxy)
    const url = first.url.replace(`:${first.port}/`, `:${proxy.port}/`)
    const service = stack.use(await serve({ url }, { RETRY_MS: '50', LOG_LEVEL: 'silent' }))
    urls.push(service.url)
  }
  await first.sql`insert into kairan.roles (user_id, role_level) values ('7', 100)`
  const all = ['user-42', 'user-7', 'admin-dashboard']
  const readers = [
    stack.use(await follow(urls, { token: await tokenFor('42') })),
    stack.use(await follow(urls, { token: await tokenFor('7') })),
    stack.use(
      await follow(urls, { token: await tokenFor('7'), query: '?channels=admin-dashboard' }),
    ),
  ]
  const channelsOf = [['user-42'], ['user-7', 'admin-dashboard'], ['admin-dashboard']]
  await eventually(() => readers.every(({ stretches }) => stretches.length > 0))

  const world: World = {
    servers,
    primary: first,
    urls,
    readers,
    lead(to, open = 'reset') {
      for (const proxy of proxies) proxy.leadTo(to?.port ?? null, open)
    },
    async publishOn(server, count) {
      const rows = await server.sql`
        select kairan.publish(${all}::text[], jsonb_build_object('n', n)) as id
        from generate_series(1, ${count}::int) n`
      return rows.map(({ id }) => id)
    },
    arrived: async ids => {
      await eventually(() => readers.every(reader => ids.every(reader.has)))
    },
    deliver: async count => {
      await eventually(async () => arrivedSoon(await world.publishOn(world.primary, count)))
    },
    async isRight(since) {
      const within = async (what: string, url: string, check: () => Promise<boolean>) => {
        await eventually(check, 30_000).catch(async error => {
          throw new Error(`${what}: ${await (await fetch(`${url}/readyz`)).text()}`, {
            cause: error,
          })
        })
        expectWithin(what, Date.now() - since, promisedMs)
      }
      await Promise.all(
        urls.flatMap(url => [
          within('ready', url, async () => (await fetch(`${url}/readyz`)).ok),
          within('publishing and delivery', url, () => publishAndGet(url)),
        ]),
      )
    },
    async compare({ gap }) {
      await world.deliver(1)
      for (const [index, reader] of readers.entries()) {
        await compareOne(world.primary, reader, channelsOf[index] ?? [], gap)
      }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }

  const publishAndGet = async (url: string) => {
    const answer = await publish(url, { channels: all, payload: {} })
    expect(answer.status).toBeOneOf([201, 503])
    if (answer.status !== 201) return false
    const { id } = await answer.json()
    // It may have been taken by a server that is still followed, and is not the right one any more.
    const there = await world.primary.sql`select from kairan.notifications where id = ${id}`
    if (there.length === 0) return false
    // A stream that was about to break may not get it: the next one is asked for then.
    return arrivedSoon([id])
  }
  const arrivedSoon = (ids: string[]) =>
    eventually(() => readers.every(reader => ids.every(reader.has)), 2000).then(
      () => true,
      () => false,
    )
  return world
}

/** Waits until a standby has all that was committed. */
export const caughtUp = async (primary: Server, standby: Server) => {
  const [row] = await primary.sql`select pg_current_wal_lsn()::text as lsn`
  for (;;) {
    const [there] = await standby.sql`
      select pg_last_wal_replay_lsn() >= ${row?.lsn}::pg_lsn as reached`
    if (there?.reached) return
    await Bun.sleep(20)
  }
}

const compareOne = async (
  { sql }: Server,
  { stretches, complaints }: Follower,
  channels: string[],
  gap: boolean | 'perhaps',
) => {
  expect(complaints).toEqual([])
  const rows = await sql<{ id: string; seq: number }[]>`
    select notification_id as id, seq::float8 as seq from kairan.deliveries
    where channel in ${sql(channels)} order by seq`
  const [begun, ...after] = stretches
  // Each began because the one before could not go on, and said so.
  expect(after.filter(stretch => !stretch.gap)).toEqual([])
  if (gap !== 'perhaps') expect(after.length > 0).toBe(gap)
  for (const { events } of stretches) {
    const ids = events.map(({ cursor }) => cursor)
    expect(new Set(ids).size).toBe(ids.length)
  }
  const last = after.at(-1) ?? begun
  const from = Number(last?.from.split('-')[1])
  expect(last?.events.map(({ id }) => id)).toEqual(
    rows.filter(({ seq }) => seq > from).map(({ id }) => id),
  )
}

/** Uses up transaction ids, so that the server is further on with them than another. */
export const spendTransactions = async (sql: Server['sql'], count: number) => {
  await sql.unsafe(`
    create table if not exists used (n int);
    do $$ begin
      for n in 1..${count} loop
        begin insert into used values (n); exception when division_by_zero then null; end;
      end loop;
    end $$;
    drop table used`)
}

/** Copies all tables of the schema by logical replication, and the sequences as its operator would. */
export const copyLogically = async (from: Server, to: Server) => {
  await to.restore(
    (await from.dump())
      // The schema without its rows, as `pg_dump --schema-only` would have it.
      .replaceAll(/^COPY [^;]*;\n[\s\S]*?^\\\.$/gm, ''),
  )
  // What the triggers did is copied, too. Those that fire for replication as well would do it again.
  const triggers = await to.sql<{ table: string; name: string; mode: string }[]>`
    select t.tgrelid::regclass::text as table, quote_ident(t.tgname) as name,
      case t.tgenabled when 'A' then 'always' when 'R' then 'replica' else '' end as mode
    from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = 'kairan'::regnamespace and not t.tgisinternal and t.tgenabled <> 'D'`
  for (const { table, name } of triggers) {
    await to.sql.unsafe(`alter table ${table} disable trigger ${name}`)
  }
  await from.sql.unsafe('create publication copied for tables in schema kairan')
  await to.sql.unsafe(
    `create subscription copying connection 'host=127.0.0.1 port=${from.port} user=kairan dbname=kairan' publication copied`,
  )
  await eventually(async () => {
    const rows = await to.sql`select from pg_subscription_rel where srsubstate <> 'r'`
    return rows.length === 0
  })
  await to.sql.unsafe('drop subscription copying')
  for (const { table, name, mode } of triggers) {
    await to.sql.unsafe(`alter table ${table} enable ${mode} trigger ${name}`)
  }
  const sequences = await from.sql`
    select format('%I.%I', schemaname, sequencename) as name, last_value::text as last
    from pg_sequences where schemaname = 'kairan' and last_value is not null`
  for (const { name, last } of sequences) {
    await to.sql.unsafe(`select setval('${name}', ${last})`)
  }
}
