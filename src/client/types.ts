/** The events that an app declares: the payload of each type, as in `{ 'order.shipped': { orderId: number } }`. */
export type Payloads<P> = { [Type in keyof P]: object }

/** The payloads of an app that declares no events. */
export type AnyPayloads = { [type: string]: Record<string, unknown> }

/** A notification on one channel, received from the stream. */
export type NotificationEvent<Type = string | null, Payload = Record<string, unknown>> = {
  channel: string
  payload: Payload & { metadata: { deliveryChannel: string; [key: string]: unknown } }
  /** The notification's id, the same on each of its channels; null for a live event without one. */
  id: string | null
  type: Type
  createdAt: string
  /** When it ends, if it does. */
  expiresAt?: string
  /** Its position in the log; null for a live event, which is not stored. */
  cursor: string | null
  /**
   * Whether it was published before this page connected, or while the stream was cut for more than a minute. Do not pop
   * up such an event.
   */
  replayed: boolean
}

/** The event of each declared type. */
export type Events<P extends Payloads<P>> = {
  [Type in keyof P & string]: NotificationEvent<Type, P[Type]>
}

export type AnyEvent<P extends Payloads<P>> = Events<P>[keyof P & string]

/** The event of a type; `*` stands for any type. */
export type EventOf<P extends Payloads<P>, Type> = Type extends '*'
  ? AnyEvent<P>
  : Type extends keyof Events<P>
    ? Events<P>[Type]
    : never

/** A notification in the inbox. */
export type InboxItem = Omit<NotificationEvent, 'replayed' | 'cursor' | 'id'> & {
  id: string
  cursor: string
  read: boolean
}

export type InboxPage = {
  /** Newest first. */
  notifications: InboxItem[]
  /** The `before` of the next page; null when this is the last. */
  next: string | null
  unread: number
  /** Present when there may be more unread ones: they are counted up to 1,000. */
  unreadIsLeast?: true
  /** How many of the unread were not seen, either. */
  unseen: number
  unseenIsLeast?: true
  /** When the first of the unread expires, or a mute ends. */
  unreadUntil?: string
  /** The end of the log when the page was read. */
  cursor: string
  /** Higher after each change of what is seen, read, archived or muted; absent before the first. */
  revision?: number
}

export type InboxQuery = {
  before?: string
  limit?: number
  type?: string | readonly string[]
  unread?: boolean
  /** Whether it is a page of the archive. */
  archived?: boolean
}

/** The error of a request that the service refused. */
export type RequestError = Error & {
  status: number
  /** The `code` of its problem, or null. */
  code: string | null
}

/** A control event of the stream. */
export type Control = {
  type: string
  /** Of `also`: the channels that the tabs listen to. */
  channels?: readonly string[]
  /** Of `also`: those of them that the stream would not carry unasked. */
  extra?: readonly string[]
  /** Of `also`: those of them that the user may not read, or that are too many. */
  refused?: readonly string[]
  /** Of `redelivered`, which the client says itself: what has come again, at its new cursor. */
  event?: NotificationEvent
  [key: string]: unknown
}

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
  /** How many of them were not seen, either: for a badge. */
  readonly unseen: number | null
}

export type Options = {
  /** The URL of the service, such as `https://example.com/kairan`. By default the origin of the page. */
  url?: string
  /**
   * Gives the token of who is signed in, before each request. `refresh`: the one before was refused or is
   * about to end, so ask for a new one. It has 10 s to answer. Without `auth` the browser's cookie is used.
   */
  auth?: (refresh: boolean) => string | Promise<string>
  /**
   * The id of the signed-in user. It keeps the users of a browser apart. Without it, each tab has its own connection,
   * and nothing is remembered across page loads.
   */
  key?: string
  /** The channels of the stream. By default all that the user may read. */
  channels?: readonly string[]
  /** Whether the tabs with the same `key` share one connection. True by default. */
  shareConnection?: boolean
  /** Whether a page continues where the page before it ended. True by default. */
  resume?: boolean
  /** After this many milliseconds without a byte the connection counts as dead. 37,500 by default: 2.5 heartbeats. */
  stallMs?: number
}

export type Channel<P extends Payloads<P> = AnyPayloads> = {
  /**
   * As `on` of the client, for the events of this channel. `onRefused` is called when the user may not read it, or when
   * it is one too many (`MAX_CHANNELS`): each time that it is asked for.
   */
  on<Type extends (keyof P & string) | '*'>(
    type: Type,
    listener: (event: EventOf<P, Type>) => void,
    onRefused?: () => void,
  ): () => void
}

/** Iterates over events until the signal. */
export type Loop = <Event>(
  listen: (type: '*', listener: (event: Event) => void) => () => void,
  signal: AbortSignal,
) => AsyncGenerator<Event, void>

export type Notifications<P extends Payloads<P> = AnyPayloads> = AsyncIterable<AnyEvent<P>> & {
  /** The current state. It is a new object after each change. */
  readonly state: State
  readonly status: Status
  readonly unread: number | null
  readonly unseen: number | null
  /** Calls the listener with each event of a type; `*` stands for all types. Returns a function that ends this. */
  on<Type extends (keyof P & string) | '*'>(
    type: Type,
    listener: (event: EventOf<P, Type>) => void,
  ): () => void
  /**
   * A channel that the stream carries while somebody listens to it, besides its own, across reconnects, too. What only
   * a beginning in the token lets the user read is heard here only, not by `on`.
   */
  channel(name: string): Channel<P>
  /** Calls the listener with each control event of a type: `gap`, `read`, `withdrawn`, `redelivered`, `lagging`, … */
  onControl(type: string, listener: (control: Control) => void): () => void
  /** Calls the listener when `state` has changed. */
  subscribe(listener: () => void): () => void
  /** Connects now: ends a wait, or connects again after `refused`, `replaced` or `revoked`. */
  connect(): void
  /** Ends this client for good. Other tabs continue. */
  close(): void
  /**
   * A page of the inbox. When pages are asked for right after `createNotifications`, the stream begins where they were
   * read: what is on one of them does not come, what is on none does. Throws a `RequestError`, as all that follow.
   */
  list(query?: InboxQuery): Promise<InboxPage>
  /** Marks notifications as read. Resolves with the number of unread ones. */
  markRead(ids: readonly string[]): Promise<number>
  markUnread(ids: readonly string[]): Promise<number>
  markAllRead(): Promise<number>
  /** Marks as read up to the cursor of a notification or of a page. */
  markReadUpTo(cursor: string): Promise<number>
  /**
   * Sends another request below `/notifications`, with the token of this client: as `request('/seen', { upTo })`. With
   * a body its method is POST by default. Resolves with the JSON of the answer.
   */
  request(path: string, body?: object, method?: string): Promise<unknown>
}
