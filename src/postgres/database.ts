import postgres from 'postgres'
import { afterListening } from '../lib/patient-timer.ts'
import { createSemaphore } from '../lib/semaphore.ts'
import { type ConnectOptions, connect, type Sql } from './connect.ts'

/** A client whose answers are waited for no longer than `deadlineMs`. */
export type Database = {
  /**
   * Runs a statement when one of the client's connections is free. Rejects with the driver's error, when no
   * connection becomes free within `placeMs`, or when the answer takes too long.
   */
  run<T>(ask: (sql: Sql) => PromiseLike<T>): Promise<T>
  /** Ends all connections, which rejects what waits on them, and begins with new ones. */
  renew(): void
  stop(): Promise<void>
}

/** A server that is read-only makes it look for another one at most this often. */
const readOnlyMs = 1000
/** The part of the deadline that Postgres has for confirming that it has cancelled a statement. */
const cancelShare = 1 / 6

/**
 * A client that cannot hang. At most `max` statements run at once, each on a connection of its own, so that
 * none waits behind another one's lock; the deadline counts from when a statement is sent.
 *
 * A statement that takes too long is cancelled, so that no backend stays behind waiting for a lock, also behind
 * a transaction pooler. When Postgres does not confirm that within `deadlineMs` either, it is frozen, or the
 * network swallows packets: then the client is given up with all its connections, which rejects whatever
 * waited on them, and the next statement begins with a new client. Each time in a row it waits twice as
 * long, up to eight times: a server that is only slow gets the time that it needs.
 *
 * A server that can't be written to is left, too: after a failover it is the wrong one.
 */
export const createDatabase = (
  url: string,
  options: ConnectOptions & {
    deadlineMs: number
    /** How long a statement may wait for a free connection. By default as long as the deadline. */
    placeMs?: number
  },
): Database => {
  const placeMs = options.placeMs ?? options.deadlineMs
  const places = createSemaphore(options.max, {
    ms: placeMs,
    tooLate: () => new Error(`No connection to Postgres was free within ${placeMs} ms`),
  })
  let sql = connect(url, options)
  let patience = 1
  let readOnlyAt = Number.NEGATIVE_INFINITY

  const renew = () => {
    const client = sql
    sql = connect(url, options)
    void client.end({ timeout: 0 })
  }

  const giveUp = (client: Sql) => {
    if (client !== sql) return
    patience = Math.min(patience * 2, 8)
    renew()
  }

  const leaveReadOnly = (client: Sql) => {
    const now = performance.now()
    if (client !== sql || now - readOnlyAt < readOnlyMs) return
    readOnlyAt = now
    renew()
  }

  const send = async <T>(ask: (sql: Sql) => PromiseLike<T>): Promise<T> => {
    const client = sql
    const statements = new Set<Cancellable>()
    const late = Promise.withResolvers<never>()
    const deadlineMs = options.deadlineMs * patience
    const end = () => {
      late.reject(new Error(`Postgres did not answer within ${deadlineMs} ms`))
      giveUp(client)
    }
    const cancelMs = deadlineMs * cancelShare
    let endWait = afterListening(deadlineMs - cancelMs, () => {
      cancelAll(statements)
      endWait = afterListening(cancelMs, end)
    })
    try {
      const answer = await Promise.race([ask(tracked(client, statements)), late.promise])
      patience = 1
      return answer
    } catch (error) {
      if (error instanceof postgres.PostgresError && error.code === readOnly) leaveReadOnly(client)
      throw error
    } finally {
      endWait()
    }
  }

  return {
    run: ask => places.run(() => send(ask)),
    renew,
    stop: () => sql.end({ timeout: 1 }),
  }
}

/** SQLSTATE read_only_sql_transaction. */
const readOnly = '25006'

/**
 * What postgres.js returns for a statement; a fragment of one is never executed. Its `cancel()` calls the canceller and
 * drops the promise, so that a request to cancel which does not arrive would be an unhandled rejection.
 */
type Cancellable = { executed?: boolean; canceller: ((statement: object) => unknown) | null }

/** The same client, which notes its statements. */
const tracked = (client: Sql, statements: Set<Cancellable>): Sql => {
  const note = <T>(made: T): T => {
    if (isCancellable(made)) statements.add(made)
    return made
  }
  return new Proxy(client, {
    apply: (target, self, parts) => note(Reflect.apply(target, self, parts)),
    get(target, name) {
      const member = Reflect.get(target, name)
      return name === 'unsafe' ? (...parts: unknown[]) => note(member(...parts)) : member
    },
  })
}

const isCancellable = (made: unknown): made is Cancellable =>
  made instanceof Promise && 'canceller' in made && typeof made.canceller === 'function'

/** Asks Postgres to cancel them: over a connection of its own, as a statement that waits can't be talked to. */
const cancelAll = (statements: Set<Cancellable>) => {
  for (const statement of statements) {
    const { canceller } = statement
    statement.canceller = null
    // What comes of it shows in the statement itself.
    if (statement.executed && canceller) {
      Promise.resolve(canceller(statement)).catch(() => undefined)
    }
  }
}
