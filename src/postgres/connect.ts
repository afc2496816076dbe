import type { Duplex } from 'node:stream'
import postgres from 'postgres'
import { type PostgresAddress, parsePostgresUrl } from '../lib/postgres-url.ts'
import { factsQuery, type Judge, notStandby, toFacts } from './primary.ts'
import { createDialer } from './socket.ts'

export type Sql = postgres.Sql<{ bigint: number }>

export type ConnectOptions = {
  /** At most so many connections. */
  max: number
  /** What pg_stat_activity shows. */
  name: string
  /** How long a connection may stay unused, in seconds. By default for ever. */
  idleSeconds?: number
  /** False when a pooler is in between: it takes neither settings of a session nor prepared statements. */
  direct?: boolean
  /**
   * Whether SQL of the operator's runs here, too, which has its own search_path. In any other session nobody who may
   * create functions and operators in a schema of the search_path can put theirs in place of Postgres' own.
   */
  applicationSql?: boolean
  /** Whether a session may be used. By default any that is not on a standby. */
  judge?: Judge
  onNotify?: (channel: string, payload: string) => void
  onClose?: () => void
}

/**
 * A postgres.js client with Kairan's settings. Nothing connects before the first query. The caller
 * owes `end`. Never use `begin` or `reserve` on it in the running service: a query in them whose
 * backend has died ends the process (porsager/postgres #1066, #1154, #1208).
 */
export const connect = (url: string, options: ConnectOptions): Sql => {
  const address = parsePostgresUrl(url)
  const dialer = createDialer(address)
  const judge = options.judge ?? notStandby
  const settings: postgres.Options<{ bigint: postgres.PostgresType<number> }> & Unlisted = {
    max: options.max,
    // The driver reads times in no other style, whatever the database's is.
    connection: {
      application_name: options.name,
      DateStyle: 'ISO',
      ...(options.direct ? session : {}),
      ...(options.direct && !options.applicationSql ? { search_path: 'pg_catalog, pg_temp' } : {}),
      ...address.session,
    },
    // The dialer knows where; the driver names it in its errors.
    host: nameOf(address),
    port: address.servers[0]?.port ?? 5432,
    ...(address.user === undefined ? {} : { user: address.user }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(address.database === undefined ? {} : { database: address.database }),
    ssl: false,
    connect_timeout: address.connectSeconds ?? 5,
    keep_alive: address.keepAliveSeconds ?? 10,
    max_lifetime: null,
    // Asking for types is a query of its own at each connect, whose failure nobody could catch. So there
    // are no array parameters: pass JSON.
    fetch_types: false,
    // A pooler may be older than PgBouncer 1.21, and then knows no prepared statements.
    prepare: options.direct !== false,
    onnotice: () => undefined,
    socket: dialer.open,
    prove: {
      query: factsQuery,
      check([row = {}], socket) {
        const problem = judge(toFacts(row))
        if (problem === null) dialer.succeeded(socket)
        return problem
      },
    },
    // Its own backoff grows to 20 s and would be added to that of the socket.
    backoff: () => 0,
    types: {
      // A seq stays below 2^53 (see kairan.follow_server), so a number holds it exactly.
      bigint: { to: 20, from: [20], parse: Number, serialize: String },
    },
    ...(options.idleSeconds === undefined ? {} : { idle_timeout: options.idleSeconds }),
    ...(options.onNotify ? { onnotify: options.onNotify } : {}),
    ...(options.onClose ? { onclose: options.onClose } : {}),
  }
  const sql = postgres(settings)
  const { end } = sql
  return Object.assign(sql, {
    end(how?: { timeout?: number }) {
      dialer.close()
      return end(how)
    },
  })
}

/** Without colons: the driver takes what follows one for a port. */
const nameOf = ({ servers: [server] }: PostgresAddress) =>
  server && 'host' in server && !server.host.includes(':') ? server.host : 'localhost'

/**
 * Every statement here is made to walk along an index. So it needs no plan for each of its values: making
 * one takes longer than carrying it out (0.3 of 0.5 ms to read the log). And a plan that was made when a
 * table was small must not be to scan it when it is large. Nothing waits for a lock for ever: a statement
 * that was given up would go on waiting at the server.
 */
const session = {
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  lock_timeout: 2500,
  // Sessions wait here for what comes. The longest there is, as the driver leaves out a 0.
  idle_session_timeout: 2_147_483_647,
  // A database may have fewer: then the milliseconds of a moment come rounded to years.
  extra_float_digits: 1,
  // A database may have another default, in which statements here would fail instead of waiting.
  default_transaction_isolation: 'read committed',
} as const

/** Options that postgres.js has but its types don't list (3.4.9); `prove` is of our patch. */
type Unlisted = {
  onnotify?: (channel: string, payload: string) => void
  socket?: () => Promise<Duplex>
  prove: {
    query: string
    /** Says what is wrong with the session that gave this answer, before anything else is asked of it. */
    check(rows: Record<string, string>[], socket: Duplex): Error | null
  }
}
