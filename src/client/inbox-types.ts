import type { InboxItem, InboxQuery, NotificationEvent, Notifications } from './types.ts'

/** What an inbox shows. It is a new object after each change. */
export type InboxState = {
  /** Newest first. */
  readonly items: readonly InboxItem[]
  /** The number of unread notifications, up to 1,000; null until the inbox has answered. */
  readonly unread: number | null
  /** How many of them were not seen, either: for a badge. */
  readonly unseen: number | null
  /** `error` when the last page could not be loaded. */
  readonly status: 'loading' | 'ready' | 'error'
  /** Whether there are older ones than `items`. */
  readonly hasMore: boolean
  /** Why the last request failed, be it for a page or a mark; null after one that succeeded. */
  readonly error: Error | null
  /** Whether the stream is open, so that new ones come by themselves. */
  readonly isLive: boolean
}

/** What can be done with an inbox. None of it rejects: `state.error` has the reason. */
export type InboxActions = {
  /** Loads the newest page again. */
  reload(): Promise<void>
  /** Loads the next older page, after what is loading; does nothing when there is none, or while it is loading already. */
  loadMore(): Promise<void>
  /** Marks show at once. When the service refuses one, the inbox is loaded again. */
  markRead(ids: readonly string[]): Promise<void>
  markUnread(ids: readonly string[]): Promise<void>
  markAllRead(): Promise<void>
  /** Marks all that is shown as seen, and what is before it; does nothing when nothing is unseen. */
  markSeen(): Promise<void>
  /** Takes notifications out of the list at once, and into the archive. */
  archive(ids: readonly string[]): Promise<void>
  /** Takes them back out of the archive. */
  unarchive(ids: readonly string[]): Promise<void>
  /** Mutes a type, for the user: none of it is sent, listed or counted until it is unmuted. */
  mute(type: string): Promise<void>
  unmute(type: string): Promise<void>
}

export type Inbox = InboxActions & {
  readonly state: InboxState
  /**
   * Calls the listener when `state` has changed. Returns a function that ends this. The inbox is loaded and follows the
   * stream while it has a listener.
   */
  subscribe(listener: () => void): () => void
}

/**
 * `limit`: how many are on a page, 20 by default. `type`: only notifications of these types. `archived`: those of the
 * archive.
 */
export type InboxOptions = Pick<InboxQuery, 'limit' | 'type' | 'archived'>

/** The parts of a client that an inbox uses: a client of any declared events has them. */
export type InboxClient = Pick<
  Notifications,
  | 'state'
  | 'subscribe'
  | 'onControl'
  | 'list'
  | 'markRead'
  | 'markUnread'
  | 'markAllRead'
  | 'request'
> & { on(type: '*', listener: (event: NotificationEvent) => void): () => void }

/** What a bell needs of a client, whatever types of events it declares. */
export type BellClient = InboxClient & Pick<Notifications, 'close'>
