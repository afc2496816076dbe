import type { Identify } from '../auth/identify.ts'
import type { Published } from '../publish/request.ts'
import type { Transaction } from '../publish/transaction.ts'
import type { PublishOptions } from './publish.ts'

/** The settings of the service as options. The page on settings says what each means; the defaults are the same. */
export type Settings = {
  /** `postgres://user:password@host:5432/database` */
  databaseUrl: string
  /** A direct connection, when `databaseUrl` leads through a transaction pooler. */
  databaseListenUrl?: string | undefined
  /** `nats://user:password@host:4222`; by default Postgres carries what instances tell each other. */
  relayUrl?: string | undefined
  /** At least 32 bytes; several during a rotation. Needed unless there is `jwtJwksUrl` or `identify`. */
  jwtSecret?: string | readonly string[] | undefined
  jwtJwksUrl?: string | undefined
  jwtIssuer?: string | undefined
  jwtAudience?: string | undefined
  authCookie?: string | undefined
  corsOrigins?: readonly string[] | undefined
  allowedHosts?: readonly string[] | undefined
  trustedProxies?: number | undefined
  maxStreams?: number | undefined
  maxStreamsPerUser?: number | undefined
  maxStreamsPerAddress?: number | undefined
  dashboard?: 'on' | 'readonly' | 'off' | undefined
  publishRate?: number | undefined
  adminRoleLevel?: number | undefined
  /** SQL with `$1`, the user id. */
  roleLevelQuery?: string | undefined
  /** SQL with `$1`, the user id: the application's channels that the user may read, one a row. */
  channelsQuery?: string | undefined
  maxChannels?: number | undefined
  newUsers?: 'read' | 'unread' | undefined
  heartbeatMs?: number | undefined
  retryMs?: number | undefined
  maxStreamAgeMs?: number | undefined
  queueBytes?: number | undefined
  replayLimit?: number | undefined
  maxEventBytes?: number | undefined
  livePath?: boolean | undefined
  /** A time like `12h` or `7d`. */
  retention?: string | undefined
  /** Where follow-ups are posted. */
  webhookUrl?: string | undefined
  /** `whsec_…`; several during a rotation. Needed with `webhookUrl`. */
  webhookSecret?: string | readonly string[] | undefined
  drainMs?: number | undefined
  otelExporterOtlpEndpoint?: string | undefined
  otelServiceName?: string | undefined
  logLevel?: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent' | undefined
}

export type KairanOptions = Settings & {
  /** The application's own sign-in. Without it tokens count, as in the service. */
  identify?: Identify | undefined
  /** What the paths of all routes begin with, like `/kairan`. By default nothing. */
  prefix?: string | undefined
  /** Where it reports, as pino does: first the facts, then the sentence. By default lines of JSON on stdout. */
  logger?: Logger | undefined
}

export type Logger = {
  info(facts: object, sentence: string): void
  warn(facts: object, sentence: string): void
  error(facts: object, sentence: string): void
}

/** Publishes from the application's own code. */
export type Publisher = {
  /**
   * Publishes, in a transaction of its own. Several channels are one notification. Rejects with an error that has a
   * `code`: `bad_notification`, `payload_too_large`, or `unavailable` when the database can't be used now.
   */
  publish(
    channel: string | readonly string[],
    payload: object,
    options?: PublishOptions,
  ): Promise<Published>
  /**
   * Publishes in a transaction of the application's: of postgres.js, Bun's SQL, Drizzle, Kysely or pg. Nobody gets the
   * notification unless it commits. Its login needs the rights of a publisher. Rejects with the error of its driver.
   */
  publishIn(
    tx: Transaction,
    channel: string | readonly string[],
    payload: object,
    options?: PublishOptions,
  ): Promise<{ id: string }>
  /**
   * Takes a notification back: nobody is shown it any more. False when there is none of this id, or it was withdrawn
   * before. Rejects as `publish` does.
   */
  withdraw(id: string): Promise<boolean>
  /** The same in a transaction of the application's. */
  withdrawIn(tx: Transaction, id: string): Promise<boolean>
}

export type Kairan = Publisher & {
  /**
   * Answers a request for one of Kairan's routes. Pass Bun's server object, too: it knows the addresses of clients,
   * and lets quiet streams stay open.
   */
  fetch(request: Request, server?: unknown): Promise<Response>
  /** Connects. Resolves when it is ready; waits for a database that can't be reached. */
  start(): Promise<void>
  /** Ends the streams within `drainMs`, writes what is left to write, and closes the connections. */
  stop(): Promise<void>
  /** Why it is not ready; empty when it is. */
  reasons(): string[]
}
