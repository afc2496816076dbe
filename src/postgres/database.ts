import { type ConnectOptions, connect, type Sql } from './connect.ts'

/** A client whose answers are waited for no longer than `deadlineMs`. */
export type Database = {
  /** Runs a statement. Rejects with the driver's error, or when the answer takes too long. */
  run<T>(ask: (sql: Sql) => PromiseLike<T>): Promise<T>
  stop(): Promise<void>
}

/** A timer that comes so much too late says that the event loop was blocked. */
const busyMs = 250

/**
 * Postgres can be frozen, or behind a network that swallows packets: then nothing answers, and nothing
 * fails either. When that lasts for `deadlineMs`, the client is given up with all its connections, which
 * rejects whatever waited on them, and the next statement begins with a new one. Each time in a row it
 * waits twice as long, up to eight times: a server that is only slow gets the time that it needs.
 */
export const createDatabase = (
  url: string,
  options: ConnectOptions & { deadlineMs: number },
): Database => {
  let sql = connect(url, options)
  let patience = 1

  const giveUp = (client: Sql) => {
    if (client !== sql) return
    patience = Math.min(patience * 2, 8)
    sql = connect(url, options)
    void client.end({ timeout: 0 })
  }

  return {
    async run(ask) {
      const client = sql
      const late = Promise.withResolvers<never>()
      const deadlineMs = options.deadlineMs * patience
      let timer: ReturnType<typeof setTimeout> | undefined
      const wait = () => {
        const due = performance.now() + deadlineMs
        timer = setTimeout(() => {
          // This process itself was too busy to listen: the answer may be there already.
          if (performance.now() - due > busyMs) return wait()
          late.reject(new Error(`Postgres did not answer within ${deadlineMs} ms`))
          giveUp(client)
        }, deadlineMs)
      }
      wait()
      try {
        const answer = await Promise.race([ask(client), late.promise])
        patience = 1
        return answer
      } finally {
        clearTimeout(timer)
      }
    },
    stop: () => sql.end({ timeout: 1 }),
  }
}
