import { distance } from './cursors.ts'
import { insert, isAmong, isOneOf } from './inbox-list.ts'
import type { Inbox, InboxClient, InboxOptions, InboxState } from './inbox-types.ts'
import { createListeners } from './listeners.ts'
import type { Control, InboxItem, InboxPage, NotificationEvent } from './types.ts'

export type * from './inbox-types.ts'

/** A longer list loses its oldest when one comes. About so many withdrawn ids are remembered, too. */
const mostItems = 1000
/** Within how long those who had what was withdrawn load the page again. */
const spreadMs = 2000
/** How often a page is loaded again because something was marked meanwhile. */
const maxTries = 3

/**
 * An inbox without looks: the newest notifications of the user. What comes is put on top, what is marked here or on
 * another device is marked, and after a gap or a cut the newest page is loaded again.
 */
export const createInbox = (client: InboxClient, options: InboxOptions = {}): Inbox => {
  const { type, archived = false } = options
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
  /** How many were unread, how many of them were seen, after which change that was, and how many have come since. */
  let known = 0
  let behind = 0
  let revision = 0
  let came = 0
  /** By how many the unread were more or fewer than that when they were last shown. */
  let unexplained = 0
  /** Where the log ended when the list was last known. */
  let head: string | null = null
  /** Up to where it was marked as seen. */
  let seenTo: string | null = null
  /** What was withdrawn: a page that was read before may still have it. */
  const withdrawn = new Set<unknown>()
  const isWithdrawn = ({ id }: { id: string }) => withdrawn.has(id)
  /** Whether the first stream continued where the page before it ended. */
  let isResumed = false
  let state: InboxState = {
    items: [],
    unread: client.state.unread,
    unseen: null,
    status: 'loading',
    hasMore: false,
    error: null,
    isLive: false,
  }

  const change = (changed: Partial<InboxState>) => {
    state = { ...state, ...changed }
    changes.call('', undefined)
  }

  const reach = (cursor: string) => {
    if (!(distance(cursor, head) <= 0)) head = cursor
  }

  /**
   * The client counts the unread. Of these, `known` were counted together with the unseen, and all that came since is
   * unseen.
   */
  const show = () => {
    const { unread } = client.state
    const unseen = unread === null ? null : Math.max(0, unread - behind)
    // One has expired or was withdrawn, perhaps as another one came: whether it was seen, nobody here knows.
    const more = unread === null || state.unread === null ? 0 : unread - known - came
    if (unread !== state.unread || unseen !== state.unseen) change({ unread, unseen })
    // Once for each difference: the answer may bring none.
    if (more && more !== unexplained) void reload()
    unexplained = more
  }

  /** Learns a count, of an answer or the stream: the newest counts. */
  const learn = (count: { [name: string]: unknown }) => {
    const { unread, unseen, revision: at = 0 } = count
    if (typeof unread !== 'number' || typeof unseen !== 'number' || Number(at) < revision) return
    revision = Number(at)
    behind = unread - unseen
    known = unread
    came = 0
    setTimeout(show)
  }

  const fetchPage = async (before: string | null, merge: (page: InboxPage) => InboxItem[]) => {
    const mine = ++load
    change({ status: 'loading' })
    const query = { limit: 20, ...options, ...(before !== null && { before }) }
    try {
      for (let tries = 1; ; tries++) {
        const known = marks
        const page = await client.list(query)
        if (mine !== load) return
        if (known !== marks && tries < maxTries) continue
        reach(page.cursor)
        learn(page)
        const items = merge(page).filter(item => !isWithdrawn(item))
        return change({ items, status: 'ready', hasMore: next !== null, error: null })
      }
    } catch (error) {
      if (mine === load) change({ status: 'error', error: errorOf(error) })
    }
  }

  const reload = () => {
    // What is in the list now is older than the page, or comes on top of it while it is loading.
    const wasShown = isAmong(state.items)
    return fetchPage(null, page => {
      const { notifications, cursor } = page
      const last = state.items.findLastIndex(isAmong(notifications))
      // Up to its cursor the page has everything, or it is further down.
      const arrived = state.items.filter(item => !(distance(item.cursor, cursor) <= 0))
      // The older ones stay if nothing is missing between them and the page.
      const older = isLoaded && last >= 0 ? state.items.slice(last + 1).filter(wasShown) : []
      isLoaded = true
      if (older.length === 0) next = page.next
      return [...arrived, ...notifications, ...older]
    })
  }

  const loadMore = async () => {
    if (next === null || state.status === 'loading') return
    await fetchPage(next, page => {
      next = page.next
      const isShown = isAmong(state.items)
      return [...state.items, ...page.notifications.filter(item => !isShown(item))]
    })
  }

  const take = ({ replayed: _, cursor, id, ...event }: NotificationEvent) => {
    // A live event is not stored: it is in no inbox.
    if (cursor === null || id === null) return
    came++
    if (archived) return
    const item = { ...event, id, cursor, read: false }
    if (isWithdrawn(item)) return
    reach(cursor)
    if (state.items.some(isAmong([item]))) return
    if (types && !types.includes(event.type ?? '')) return
    const items = insert(state.items, item, next !== null)
    if (!items) return
    items.splice(mostItems)
    // What falls off the end can be loaded again.
    if (items.length === mostItems) next = items.at(-1)?.cursor ?? next
    change({ items, hasMore: next !== null })
  }

  const setRead = (read: boolean, isChosen: (item: InboxItem) => boolean) => {
    marks++
    change({ items: state.items.map(item => (isChosen(item) ? { ...item, read } : item)) })
  }

  /** Takes out those that leave the list. A page that was asked for before may not know of it. */
  const remove = (isChosen: (item: InboxItem) => boolean) => {
    marks++
    change({ items: state.items.filter(item => !isChosen(item)) })
  }

  /** Something was archived or taken back, here or on another device. */
  const move = (control: Control) => {
    const { type, ids } = control
    learn(control)
    if ((type === 'archived') !== archived) remove(isOneOf(ids))
    else {
      marks++
      void reload()
    }
  }

  /** Many may have it: not all of them ask at once how many are left. */
  const forget = ({ ids }: Control) => {
    setTimeout(() => listeners > 0 && reload(), Math.random() * spreadMs)
    if (withdrawn.size > mostItems) withdrawn.clear()
    for (const id of [ids].flat()) withdrawn.add(id)
    remove(isWithdrawn)
  }

  /** Something was marked, here or on another device. */
  const hear = (control: Control) => {
    const { type, ids, upTo, all, cursor, channels } = control
    learn(control)
    const end = typeof upTo === 'string' ? upTo : all ? cursor : null
    const isChosen = Array.isArray(ids)
      ? isOneOf(ids)
      : (item: InboxItem) =>
          typeof end === 'string' &&
          distance(item.cursor, end) <= 0 &&
          (channels?.includes(item.channel) ?? true)
    setRead(type === 'read', isChosen)
  }

  /** A change that is shown already: when the service refuses it, the inbox is loaded again. */
  const settle = async (sent: Promise<unknown>) => {
    try {
      await sent
      if (state.status !== 'error') change({ error: null })
    } catch (error) {
      await reload()
      change({ error: errorOf(error) })
    }
  }

  const mark = (read: boolean, ids: readonly string[], sent: Promise<number>) => {
    setRead(read, isOneOf(ids))
    return settle(sent)
  }

  const archive = (ids: readonly string[], isOut: boolean) => {
    if (isOut !== archived) remove(isOneOf(ids))
    return settle(client.request('/archive', { ids, archived: isOut }))
  }

  /** All mutes of the user are replaced together. The stream tells of it, and then the list is loaded. */
  const setMute = async (type: string, isMuted: boolean) => {
    const path = '/preferences'
    const { mute }: { mute: { type?: string }[] } = Object(await client.request(path))
    const others = mute.filter(item => item.type !== type)
    await client.request(path, { mute: isMuted ? [...others, { type }] : others }, 'PUT')
  }

  const follow = async () => {
    const isLive = client.state.status === 'open'
    const isNew = isLive && !state.isLive
    if (isLive !== state.isLive) change({ isLive })
    // What it was counted with is learnt right after.
    setTimeout(show)
    if (!isNew) return
    // The `ready` that says whether it was resumed comes right after the status.
    await null
    // What was marked before the stream began was not told.
    if (isResumed) client.list({ limit: 1 }).then(learn, () => undefined)
    else if (listeners > 0) void reload()
    isResumed = false
  }

  /** What is done at a control event. */
  const heard = {
    read: hear,
    unread: hear,
    seen: learn,
    archived: move,
    unarchived: move,
    withdrawn: forget,
    gap: () => void reload(),
    preferences() {
      // What was muted may be among the older ones, too.
      isLoaded = false
      void reload()
    },
  }

  const start = () => {
    show()
    change({ isLive: client.state.status === 'open' })
    const readyOnce = client.onControl('ready', ({ resumed }) => {
      isResumed = resumed === true
      readyOnce()
    })
    void reload()
    stops = [
      readyOnce,
      client.on('*', take),
      client.subscribe(() => void follow()),
      ...Object.entries(heard).map(([type, listener]) => client.onControl(type, listener)),
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
    markRead: ids => mark(true, ids, client.markRead(ids)),
    markUnread: ids => mark(false, ids, client.markUnread(ids)),
    markAllRead() {
      setRead(true, () => true)
      return settle(client.markAllRead())
    },
    async markSeen() {
      if (!state.unseen || head === null || head === seenTo) return
      seenTo = head
      await settle(client.request('/seen', { upTo: head }))
      if (state.error) seenTo = null
    },
    archive: ids => archive(ids, true),
    // The stream tells of it, and then it is loaded.
    unarchive: ids => archive(ids, false),
    mute: type => settle(setMute(type, true)),
    unmute: type => settle(setMute(type, false)),
  }
}

const errorOf = (error: unknown) => (error instanceof Error ? error : new Error(`${error}`))
