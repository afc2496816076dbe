import { distance } from './cursors.ts'
import { createListeners } from './listeners.ts'
import type {
  Control,
  InboxItem,
  InboxPage,
  InboxQuery,
  NotificationEvent,
  Notifications,
} from './types.ts'

/** What an inbox shows. It is a new object after each change. */
export type InboxState = {
  /** Newest first. */
  readonly items: readonly InboxItem[]
  /** The number of unread notifications, up to 1,000; null until the inbox has answered. */
  readonly unread: number | null
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
  /** Loads the next older page; does nothing when there is none, or while a page is loading. */
  loadMore(): Promise<void>
  /** Marks show at once. When the service refuses one, the inbox is loaded again. */
  markRead(ids: readonly string[]): Promise<void>
  markUnread(ids: readonly string[]): Promise<void>
  markAllRead(): Promise<void>
}

export type Inbox = InboxActions & {
  readonly state: InboxState
  /**
   * Calls the listener when `state` has changed. Returns a function that ends this. The inbox is loaded and follows the
   * stream while it has a listener.
   */
  subscribe(listener: () => void): () => void
}

/** `limit`: how many are on a page, 20 by default. `type`: only notifications of these types. */
export type InboxOptions = Pick<InboxQuery, 'limit' | 'type'>

/** The parts of a client that an inbox uses: a client of any declared events has them. */
export type InboxClient = Pick<
  Notifications,
  'state' | 'subscribe' | 'onControl' | 'list' | 'markRead' | 'markUnread' | 'markAllRead'
> & { on(type: '*', listener: (event: NotificationEvent) => void): () => void }

/** A longer list loses its oldest when one comes. */
const mostItems = 1000
/** How often a page is loaded again because something was marked meanwhile. */
const maxTries = 3

/**
 * An inbox without looks: the newest notifications of the user. What comes is put on top, what is marked here or on
 * another device is marked, and after a gap or a cut the newest page is loaded again.
 */
export const createInbox = (
  client: InboxClient,
  { limit = 20, type }: InboxOptions = {},
): Inbox => {
  const changes = createListeners<void>()
  const types = type === undefined ? null : [type].flat()
  let stops: (() => void)[] = []
  let listeners = 0
  let next: string | null = null
  /** Whether a page was shown: until then there may be holes between those that came. */
  let isLoaded = false
  /** Counts the loads: only the answer of the last one is shown. */
  let load = 0
  /** Counts the marks. A page that was asked for before one may not know of it. */
  let marks = 0
  /** Whether the first stream continued where the page before it ended. */
  let isResumed = false
  let state: InboxState = {
    items: [],
    unread: client.state.unread,
    status: 'loading',
    hasMore: false,
    error: null,
    isLive: false,
  }

  const change = (changed: Partial<InboxState>) => {
    state = { ...state, ...changed }
    changes.call('', undefined)
  }

  const fetchPage = async (before: string | null, show: (page: InboxPage) => InboxItem[]) => {
    const mine = ++load
    change({ status: 'loading' })
    const query = { limit, ...(types && { type: types }), ...(before !== null && { before }) }
    try {
      for (let tries = 1; ; tries++) {
        const known = marks
        const page = await client.list(query)
        if (mine !== load) return
        if (known !== marks && tries < maxTries) continue
        const items = show(page)
        return change({ items, status: 'ready', hasMore: next !== null, error: null })
      }
    } catch (error) {
      if (mine === load) change({ status: 'error', error: errorOf(error) })
    }
  }

  const reload = () => {
    // What is in the list now is older than the page, or comes on top of it while it is loading.
    const shown = new Set(state.items.map(({ id }) => id))
    return fetchPage(null, page => {
      const { notifications, cursor } = page
      const onPage = new Set(notifications.map(({ id }) => id))
      const last = state.items.findLastIndex(({ id }) => onPage.has(id))
      // Up to its cursor the page has everything, or it is further down.
      const arrived = state.items.filter(item => !(distance(item.cursor, cursor) <= 0))
      // The older ones stay if nothing is missing between them and the page.
      const isJoined = isLoaded && last >= 0
      const older = isJoined ? state.items.slice(last + 1).filter(item => shown.has(item.id)) : []
      isLoaded = true
      if (older.length === 0) next = page.next
      return [...arrived, ...notifications, ...older]
    })
  }

  const loadMore = async () => {
    if (next === null || state.status === 'loading') return
    await fetchPage(next, page => {
      next = page.next
      const shown = new Set(state.items.map(({ id }) => id))
      return [...state.items, ...page.notifications.filter(({ id }) => !shown.has(id))]
    })
  }

  const take = ({ replayed: _, cursor, ...event }: NotificationEvent) => {
    // A live event is not stored: it is in no inbox.
    if (cursor === null || state.items.some(({ id }) => id === event.id)) return
    if (types && !types.includes(event.type ?? '')) return
    // What a first stream replays may be older than what is shown.
    const { items: shown } = state
    const found = shown.findIndex(item => !(distance(item.cursor, cursor) > 0))
    if (found < 0 && shown.length > 0 && next !== null) return
    const items = shown.toSpliced(found < 0 ? shown.length : found, 0, {
      ...event,
      cursor,
      read: false,
    })
    items.splice(mostItems)
    // What falls off the end can be loaded again.
    if (items.length === mostItems) next = items.at(-1)?.cursor ?? next
    change({ items, hasMore: next !== null })
  }

  const setRead = (read: boolean, isChosen: (item: InboxItem) => boolean) => {
    marks++
    change({ items: state.items.map(item => (isChosen(item) ? { ...item, read } : item)) })
  }

  /** Something was marked, here or on another device. */
  const hear = ({ type, ids, upTo, all, cursor, channels }: Control) => {
    const end = typeof upTo === 'string' ? upTo : all ? cursor : null
    const isChosen = Array.isArray(ids)
      ? ({ id }: InboxItem) => ids.includes(id)
      : (item: InboxItem) =>
          typeof end === 'string' &&
          distance(item.cursor, end) <= 0 &&
          (channels?.includes(item.channel) ?? true)
    setRead(type === 'read', isChosen)
  }

  const mark = async (
    read: boolean,
    isChosen: (item: InboxItem) => boolean,
    send: () => Promise<number>,
  ) => {
    setRead(read, isChosen)
    try {
      await send()
      if (state.status !== 'error') change({ error: null })
    } catch (error) {
      await reload()
      change({ error: errorOf(error) })
    }
  }

  const follow = async () => {
    const { status, unread } = client.state
    const isLive = status === 'open'
    const isNew = isLive && !state.isLive
    if (unread !== state.unread || isLive !== state.isLive) change({ unread, isLive })
    if (!isNew) return
    // The `ready` that says whether it was resumed comes right after the status.
    await null
    if (!isResumed && listeners > 0) void reload()
    isResumed = false
  }

  const start = () => {
    change({ unread: client.state.unread, isLive: client.state.status === 'open' })
    const readyOnce = client.onControl('ready', ({ resumed }) => {
      isResumed = resumed === true
      readyOnce()
    })
    void reload()
    stops = [
      readyOnce,
      client.on('*', take),
      client.onControl('read', hear),
      client.onControl('unread', hear),
      client.onControl('gap', () => void reload()),
      client.subscribe(() => void follow()),
    ]
  }

  return {
    get state() {
      return state
    },
    subscribe(listener) {
      const stop = changes.add('', listener)
      if (++listeners === 1) start()
      let isOver = false
      return () => {
        if (isOver) return
        isOver = true
        stop()
        if (--listeners > 0) return
        load++
        for (const end of stops) end()
        state = { ...state, isLive: false }
      }
    },
    reload,
    loadMore,
    markRead: ids => mark(true, isOneOf(ids), () => client.markRead(ids)),
    markUnread: ids => mark(false, isOneOf(ids), () => client.markUnread(ids)),
    markAllRead: () => mark(true, () => true, client.markAllRead),
  }
}

const isOneOf =
  (ids: readonly string[]) =>
  ({ id }: InboxItem) =>
    id !== null && ids.includes(id)

const errorOf = (error: unknown) => (error instanceof Error ? error : new Error(`${error}`))
