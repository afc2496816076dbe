/** The events that an app declares: the payload of each type, as in `{ 'order.shipped': { orderId: number } }`. */
export type Payloads<P> = { [Type in keyof P]: object }

/** What is known of the payloads of an app that declares nothing. */
export type AnyPayloads = { [type: string]: Record<string, unknown> }

/** A notification on one channel, as the stream brought it. */
export type NotificationEvent<Type = string | null, Payload = Record<string, unknown>> = {
  channel: string
  payload: Payload & { metadata: { deliveryChannel: string; [key: string]: unknown } }
  /** The notification's id, the same on each of its channels; null for a live event that has none. */
  id: string | null
  type: Type
  createdAt: string
  /** When it ends, if it does. */
  expiresAt?: string
  /** Its position; null for a live event, which is not stored. */
  cursor: string | null
  /**
   * Whether it was published before this page began to listen, or while the stream was away for over a
   * minute: what is old should not pop up.
   */
  replayed: boolean
}

/** The event of each declared type. */
export type Events<P extends Payloads<P>> = {
  [Type in keyof P & string]: NotificationEvent<Type, P[Type]>
}

export type AnyEvent<P extends Payloads<P>> = Events<P>[keyof P & string]

/** The event of a type, or with `*` of any. */
export type EventOf<P extends Payloads<P>, Type> = Type extends '*'
  ? AnyEvent<P>
  : Type extends keyof Events<P>
    ? Events<P>[Type]
    : never

/** A notification in the inbox. */
export type InboxItem = Omit<NotificationEvent, 'replayed' | 'cursor'> & {
  cursor: string
  read: boolean
}

export type InboxPage = {
  /** Newest first. */
  notifications: InboxItem[]
  /** What to give as `before` for the next page; null when this is the last. */
  next: string | null
  unread: number
  /** There may be more unread ones: they are counted up to 1,000. */
  unreadIsLeast?: true
  /** When the first of the unread expires. */
  unreadUntil?: string
  /** Where the log ended when the page was read. */
  cursor: string
  /** Higher after each change of what is read; absent before the first. */
  revision?: number
}

export type InboxQuery = {
  before?: string
  limit?: number
  type?: string | readonly string[]
  unread?: boolean
}

/** What a request throws that the service refused. */
export type RequestError = Error & {
  status: number
  /** The `code` of its problem, or null. */
  code: string | null
}

/** What the stream says besides notifications. */
export type Control = { type: string; [key: string]: unknown }

/**
 * `connecting`, `open`, `waiting` before the next attempt; `closed` until `connect()` is called, or for
 * good after `close()`.
 */
export type Status = 'connecting' | 'open' | 'waiting' | 'closed'

export type State = {
  readonly status: Status
  /**
   * Why it waits: `network`, `stalled`, `http_502`, `not_a_stream`, `refused` (401 or 403), `token_expired`,
   * `restarted`, `hidden` (the page was put away), or what a `reconnect` said (`draining`,
   * `age`, …). Why it is closed: `refused`, `replaced`, `revoked`, `ended` (204), `closed` (by `close()`),
   * `user_changed` (the cookie or the token is another user's: make another client).
   */
  readonly reason: string | null
  /**
   * How many notifications are unread, up to 1,000; null until the inbox was asked. From then on it is kept
   * as the service has it: it is asked again when a stream begins, one expires or is redelivered.
   */
  readonly unread: number | null
}

export type Options = {
  /** Where the service is, as in `https://example.com/kairan`. By default the origin of the page. */
  url?: string
  /**
   * Gives the token of who is signed in, before each request. `refresh`: the one before was refused or is
   * about to end, so ask for a new one. It has 10 s to answer. Without `auth` the browser's cookie is used.
   */
  auth?: (refresh: boolean) => string | Promise<string>
  /**
   * The id of who is signed in. It keeps the users of one browser apart. Without it each tab has its own
   * connection, and nothing is remembered over page loads.
   */
  key?: string
  /** Channels to which the stream is narrowed. */
  channels?: readonly string[]
  /** Whether the tabs of a `key` share one connection. They do unless told. */
  shareConnection?: boolean
  /** Whether a page goes on where the one before it was. It does unless told. */
  resume?: boolean
  /** After so many milliseconds without a byte the connection is dead. 37,500: 2.5 heartbeats. */
  stallMs?: number
}

export type Notifications<P extends Payloads<P> = AnyPayloads> = AsyncIterable<AnyEvent<P>> & {
  /** Another object whenever something in it changes. */
  readonly state: State
  readonly status: Status
  readonly unread: number | null
  /** Calls the listener with each event of a type, or with `*` of all. Returns what ends that. */
  on<Type extends (keyof P & string) | '*'>(
    type: Type,
    listener: (event: EventOf<P, Type>) => void,
  ): () => void
  /** Calls the listener with each control event of a type: `gap`, `read`, `unread`, `lagging`, … */
  onControl(type: string, listener: (control: Control) => void): () => void
  /** Calls the listener when `state` is another. */
  subscribe(listener: () => void): () => void
  /** Connects now: instead of waiting, or after `refused`, `replaced`, `revoked`. */
  connect(): void
  /** Ends this tab's part for good. The other tabs go on. */
  close(): void
  /**
   * A page of the inbox. When pages are asked for right after `createNotifications`, the stream begins where
   * they were read: what is on one of them does not come, what is on none does. Throws a `RequestError`, as all that follow.
   */
  list(query?: InboxQuery): Promise<InboxPage>
  /** Marks as read, and resolves with how many are unread. */
  markRead(ids: readonly string[]): Promise<number>
  markUnread(ids: readonly string[]): Promise<number>
  markAllRead(): Promise<number>
  /** Marks as read up to a cursor, that of a notification or of a page. */
  markReadUpTo(cursor: string): Promise<number>
}
