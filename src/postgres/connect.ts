import { connect as connectSocket } from 'node:net'
import postgres from 'postgres'
import { backoffMs } from '../lib/backoff.ts'

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
  onNotify?: (channel: string, payload: string) => void
  onClose?: () => void
}

/**
 * A postgres.js client with Kairan's settings. Nothing connects before the first query. The caller
 * owes `end`. Never use `begin` or `reserve` on it in the running service: a query in them whose
 * backend has died ends the process (porsager/postgres #1066, #1154, #1208).
 */
export const connect = (url: string, options: ConnectOptions): Sql => {
  const settings: postgres.Options<{ bigint: postgres.PostgresType<number> }> & Unlisted = {
    max: options.max,
    // The driver reads times in no other style, whatever the database's is.
    connection: {
      application_name: options.name,
      DateStyle: 'ISO',
      ...(options.direct ? session : {}),
    },
    connect_timeout: 5,
    keep_alive: 10,
    max_lifetime: null,
    // Asking for types is a query of its own at each connect, whose failure nobody could catch. So there
    // are no array parameters: pass JSON.
    fetch_types: false,
    // A pooler may be older than PgBouncer 1.21, and then knows no prepared statements.
    prepare: options.direct !== false,
    onnotice: () => undefined,
    socket: pacedSocket(),
    // Its own backoff grows to 20 s and would be added to that of the socket.
    backoff: () => 0,
    types: {
      // A seq stays below 2^53 (see kairan.sequence), so a number holds it exactly.
      bigint: { to: 20, from: [20], parse: Number, serialize: String },
    },
    ...(options.idleSeconds === undefined ? {} : { idle_timeout: options.idleSeconds }),
    ...(options.onNotify ? { onnotify: options.onNotify } : {}),
    ...(options.onClose ? { onclose: options.onClose } : {}),
  }
  return postgres(url, settings)
}

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
}

/** Options that postgres.js has but its types don't list (3.4.9). */
type Unlisted = {
  onnotify?: (channel: string, payload: string) => void
  socket?: (address: Address) => Promise<object>
}

type Address = { host: string[]; port: number[]; path?: string | false }

/**
 * Opens sockets no faster than a server in trouble can bear. postgres.js reconnects without any delay
 * to a peer that accepts and closes, or that is starting up: hundreds of connects a second (#1179,
 * #1193). Here each failure in a row doubles the wait, from 50 ms to `mostPauseMs`, with jitter.
 */
const pacedSocket = () => {
  let failures = 0
  return async ({
    host,
    port,
    path,
  }: {
    host: string[]
    port: number[]
    path?: string | false
  }) => {
    if (failures > 0) await Bun.sleep(backoffMs(failures, mostPauseMs))
    const [hostname = 'localhost'] = host
    const [portNumber = 5432] = port
    const socket = path ? connectSocket(path) : connectSocket(portNumber, hostname)
    failures++
    socket.once('data', bytes => {
      if (bytes[0] !== errorResponse) failures = 0
    })
    // postgres.js checks the certificate against it.
    return Object.assign(socket, { host: hostname })
  }
}

/** The longest pause between two attempts to reach Postgres: what comes after an outage waits for it. */
export const mostPauseMs = 1000

const errorResponse = 'E'.charCodeAt(0)
