import { distance } from './cursors.ts'
import { insert, isAmong, isOneOf } from './inbox-list.ts'
import type { Inbox, InboxClient, InboxOptions, InboxState } from './inbox-types.ts'
import { createListeners } from './listeners.ts'
import type { Control, InboxItem, InboxPage, InboxQuery, NotificationEvent } from './types.ts'

export type * from './inbox-types.ts'

/** A longer list loses its oldest when one comes. About so many withdrawn ids are remembered, too. */
const mostItems = 1000
/** As many are on a page, at most. */
const mostLoaded = 100
/** How often a page is loaded again because something was marked meanwhile. */
const maxTries = 3

/**
 * An inbox without looks: the newest notifications of the user. What comes is put on top, what is marked here or on
 * another device is marked, and after a gap or a cut the newest page is loaded again.
 */
export const createInbox = (client: InboxClient, options: InboxOptions = {}): Inbox => {
  const { limit = 20, type, archived = false } = options
  const changes = createListeners<void>()
  const types = type === undefined ? null : [type].flat()
  let stops: (() => void)[] = []
  let listeners = 0
  let next: string | null = null
  /** Whether all was told that concerns those that are shown, and nothing is missing between them. */
  let isWhole = false
  /** Counts the loads. */
  let load = 0
  /** The newest pages that are being loaded, and the next page. */
  let loading: Promise<unknown> = Promise.resolve()
  let more: Promise<void> | null = null
  /** Counts the marks. A page that was asked for before one may not know of it. */
  let marks = 0
  /** Where the log ended when the list was last known. */
  let head: string | null = null
  /** Up to where it was marked as seen. */
  let seenTo: string | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  /** What was withdrawn: a page that was read before may still have it. */
  const withdrawn = new Set<unknown>()
  const isWithdrawn = ({ id }: { id: string }) => withdrawn.has(id)
  let state: InboxState = {
    items: [],
    unread: client.state.unread,
    unseen: client.state.unseen,
    status: 'loading',
    hasMore: false,
    error: null,
    isLive: false,
  }

  const change = (changed: Partial<InboxState>) => {
    state = { ...state, ...changed }
    changes.call('', undefined)
  }

  /** Takes out what has expired, then and when the next one does. */
  const expire = () => {
    clearTimeout(timer)
    if (listeners === 0) return
    const left = (item: InboxItem) => Date.parse(item.expiresAt ?? '') - Date.now()
    const items = state.items.filter(item => !(left(item) <= 0))
    if (items.length < state.items.length) change({ items })
    const nextMs = Math.min(...items.map(item => left(item) || Infinity))
    // A longer time can't be waited for.
    if (nextMs < 2e9) timer = setTimeout(expire, nextMs)
  }

  const reach = (cursor: string) => {
    if (!(distance(cursor, head) <= 0)) head = cursor
  }

  /** Resolves with false when another load has begun meanwhile: only the answer of the last one is shown. */
  const loadPage = async (query: InboxQuery, merge: (page: InboxPage) => InboxItem[]) => {
    const mine = ++load
    change({ status: 'loading' })
    try {
      for (let tries = 1; ; tries++) {
        const known = marks
        const page = await client.list({ ...options, ...query })
        if (mine !== load) return false
        if (known !== marks && tries < maxTries) continue
        reach(page.cursor)
        const items = merge(page).filter(item => !isWithdrawn(item))
        change({ items, status: 'ready', hasMore: next !== null, error: null })
        expire()
        return true
      }
    } catch (error) {
      if (mine === load) change({ status: 'error', error: errorOf(error) })
      return mine === load
    }
  }

  const reload = async () => {
    // What is in the list now is older than the page, or comes on top of it while it is loading.
    const wasShown = isAmong(state.items)
    const oldest = state.items.at(-1)?.cursor ?? null
    const size = isWhole ? limit : Math.max(limit, Math.min(limit + state.items.length, mostLoaded))
    loading = loadPage({ limit: size }, page => {
      // The first page, and what was shown below it.
      const listed = page.notifications.filter(
        ({ cursor }, at) => at < limit || distance(cursor, oldest) >= 0,
      )
      const last = state.items.findLastIndex(isAmong(listed))
      // Up to its cursor the page has everything, or it is further down.
      const arrived = state.items.filter(item => !(distance(item.cursor, page.cursor) <= 0))
      const hasArrived = isAmong(arrived)
      // The older ones stay if nothing is missing between them and the page.
      const older = isWhole && last >= 0 ? state.items.slice(last + 1).filter(wasShown) : []
      isWhole = true
      if (listed.length < page.notifications.length) next = listed.at(-1)?.cursor ?? null
      else if (older.length === 0) next = page.next
      return [...arrived, ...listed.filter(item => !hasArrived(item)), ...older]
    })
    await loading
  }

  /** Loads what is shown anew: of some marks or withdrawals nothing was told. */
  const renew = () => {
    isWhole = false
    return reload()
  }

  /** Loads the next page as soon as the ones before it are known. */
  const loadNext = async () => {
    let isDone = false
    while (!isDone) {
      await loading
      if (next === null || listeners === 0) return
      isDone = await loadPage({ limit, before: next }, page => {
        next = page.next
        const isShown = isAmong(state.items)
        return [...state.items, ...page.notifications.filter(item => !isShown(item))]
      })
    }
  }

  const loadMore = () => {
    more ??= loadNext().finally(() => {
      more = null
    })
    return more
  }

  const take = ({ replayed: _, cursor, id, ...event }: NotificationEvent) => {
    // A live event is not stored: it is in no inbox.
    if (cursor === null || id === null) return
    const item = { ...event, id, cursor, read: false }
    if (isWithdrawn(item)) return
    reach(cursor)
    const there = state.items.find(isOneOf(id))
    if (there && distance(cursor, there.cursor) <= 0) return
    // One that is redelivered is at its new place only, and not in the archive.
    const others = state.items.filter(other => other !== there)
    if (archived) return there && change({ items: others })
    if (types && !types.includes(event.type ?? '')) return
    const items = insert(others, item, next !== null)
    if (!items) return
    items.splice(mostItems)
    // What falls off the end can be loaded again.
    if (items.length === mostItems) next = items.at(-1)?.cursor ?? next
    change({ items, hasMore: next !== null })
    expire()
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
  const move = ({ type, ids }: Control) => {
    if ((type === 'archived') !== archived) remove(isOneOf(ids))
    else {
      marks++
      void reload()
    }
  }

  const forget = ({ ids }: Control) => {
    if (withdrawn.size > mostItems) withdrawn.clear()
    for (const id of [ids].flat()) withdrawn.add(id)
    remove(isWithdrawn)
  }

  /** Something was marked, here or on another device. */
  const hear = ({ type, ids, upTo, all, cursor, channels }: Control) => {
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

  /** Takes over what the client knows. */
  const follow = () => {
    const { status, unread, unseen } = client.state
    const isLive = status === 'open'
    const isNew = isLive && !state.isLive
    change({ unread, unseen, isLive })
    // What was marked or withdrawn before the stream began was not told.
    if (isNew) void renew()
  }

  /** What is done at a control event. */
  const heard = {
    read: hear,
    unread: hear,
    archived: move,
    unarchived: move,
    withdrawn: forget,
    redelivered: ({ event }: Control) => event && take(event),
    gap: () => void renew(),
    preferences: () => void renew(),
  }

  const start = () => {
    follow()
    if (!state.isLive) void renew()
    stops = [
      client.on('*', take),
      client.subscribe(follow),
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
        expire()
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
