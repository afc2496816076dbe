import { type Connection, keepConnection } from './connection.ts'
import { distance } from './cursors.ts'
import type { Frame } from './frames.ts'
import { createListeners } from './listeners.ts'
import { createMemory } from './memory.ts'
import { createRequests } from './requests.ts'
import { createTabs } from './tabs.ts'
import type {
  AnyEvent,
  AnyPayloads,
  Control,
  Notifications,
  Options,
  Payloads,
  State,
} from './types.ts'

export { RequestError } from './requests.ts'
export type * from './types.ts'

/** What the leading tab tells the others: its state, where its stream was before a frame, and the frame. */
type Told = { state: State; at: string | null; frame?: Frame }

/** What another tab asks of it: to go on after this cursor; to connect `now` if it does not. */
type Asked = { after: string | null; now: boolean }

/** A stream that was away for longer has missed what should not pop up any more. */
const awayMs = 60_000

/** So many events may wait for a loop over them. */
const maxWaiting = 10_000

/**
 * Connects to Kairan, and stays connected until `close()`. Every stored event comes once and in order,
 * over cuts, restarts and page loads, or else there is a `gap`. Of the tabs with one `key`, one holds the
 * connection for all. A notification on two channels is two events with one `id`.
 */
export const createNotifications = <P extends Payloads<P> = AnyPayloads>(
  options: Options = {},
): Notifications<P> => {
  const { key, channels, shareConnection = true, resume = true, stallMs = 37_500 } = options
  const requests = createRequests(options)
  const path = channels ? `/stream?channels=${encodeURIComponent(`${channels}`)}` : '/stream'
  // The number is that of the form of what tabs say to each other.
  const name = key === undefined ? null : `kairan 1 ${options.url ?? ''}${path} ${key}`
  const memory = createMemory(resume ? name : null)
  const events = createListeners<AnyEvent<P>>()
  const controls = createListeners<Control>()
  const changes = createListeners<void>()
  const ended = new AbortController()
  const { signal } = ended

  let state: State = { status: 'connecting', reason: null, unread: null }
  /** Up to here this tab has seen all. */
  let position: string | null = memory.tab.get()
  /** Up to here the connection has read: behind `position` while it reads again for another tab. */
  let readTo: string | null = null
  let connection: Connection | null = null
  let heardAt = Date.now()
  let lostAt = Number.NEGATIVE_INFINITY
  let replayedTo: string | null = null
  let firstPage: Promise<unknown> | null = null
  let isStarted = false

  const change = (changed: Partial<State>) => {
    const next = { ...state, ...changed }
    if (`${Object.values(next)}` === `${Object.values(state)}`) return
    if (state.status === 'open' && next.status !== 'open') lostAt = heardAt
    state = next
    changes.call('', undefined)
  }

  const isIdle = () => state.status === 'waiting' || state.status === 'closed'

  const moveTo = (cursor: string) => {
    position = cursor
    memory.tab.set(cursor)
    if (connection) memory.browser.set(cursor)
  }

  const tell = (at: string | null, frame?: Frame) =>
    tabs.post({ state, at, ...(frame ? { frame } : {}) })

  /** Asks the leading tab for what this one has missed. */
  const ask = (now = false) => tabs.post({ after: position, now })

  /** Takes a frame, which came when the stream was at `at`, unless this tab has seen it. */
  const take = (at: string | null, { event: kind, data, id }: Frame) => {
    const cursor = id ?? null
    const content = kind === 'ping' ? null : JSON.parse(data || '{}')
    const { type } = content ?? {}
    let isSeen = false
    if (cursor !== null) {
      const isOtherLog = position !== null && Number.isNaN(distance(cursor, position))
      if (position !== null && !(kind === 'control' && (type === 'gap' || isOtherLog))) {
        // Something between what this tab has seen and this frame did not come here.
        if (at !== null && !(distance(at, position) <= 0)) return ask()
        isSeen = distance(cursor, position) <= 0
      }
      if (!isSeen) moveTo(cursor)
    }
    if (kind === 'control') takeControl(content)
    else if (content && !isSeen) {
      const replayed = cursor !== null && replayedTo !== null && distance(cursor, replayedTo) <= 0
      const event = { ...content, cursor, replayed }
      if (cursor !== null && state.unread !== null) change({ unread: state.unread + 1 })
      if (type) events.call(type, event)
      events.call('*', event)
    }
  }

  const takeControl = (control: Control) => {
    const { type, head, cursor, unread } = control
    if (type === 'ready' && Date.now() - lostAt > awayMs) replayedTo = String(head ?? cursor)
    if (typeof unread === 'number') change({ unread })
    controls.call(type, control)
  }

  /** Hears what the leading tab tells. */
  const follow = ({ state: told, at, frame }: Told) => {
    position ??= at
    if (frame) take(at, frame)
    else if (at !== null && position !== null && !(distance(at, position) <= 0)) ask()
    change({ ...told, unread: told.unread ?? state.unread })
    heardAt = Date.now()
  }

  /** Does what another tab asks of this one, which leads. */
  const answer = ({ after, now }: Asked, { restart }: Connection) => {
    const isBehind = after !== null && (readTo === null || distance(after, readTo) < 0)
    if (isBehind) readTo = after
    if (isBehind || (now && isIdle())) restart()
    tell(readTo)
  }

  const tabs = createTabs<Told | Asked>(shareConnection ? name : null, {
    lead() {
      position ??= memory.browser.get()
      readTo = position
      connection ??= keepConnection({
        stallMs,
        request: (refresh, signal) => {
          const resumed = readTo === null ? {} : { 'last-event-id': readTo }
          return requests.request(path, refresh, {
            signal,
            headers: { accept: 'text/event-stream', ...resumed },
          })
        },
        renew: requests.renew,
        onFrame(frame) {
          const at = readTo
          readTo = frame.id ?? at
          take(at, frame)
          tell(at, frame)
        },
        onBytes() {
          heardAt = Date.now()
          tell(readTo)
        },
        onStatus(status, reason) {
          change({ status, reason })
          tell(readTo)
        },
      })
    },
    yield() {
      connection?.stop()
      connection = null
    },
    hear(message) {
      if ('state' in message) {
        if (!connection) follow(message)
      } else if (connection) answer(message, connection)
    },
  })

  const join = () => {
    heardAt = Date.now()
    tabs.join()
    ask(true)
  }

  /** A page that is put away has to let go of all, or it can't come back from the browser's cache. */
  const leave = () => {
    tabs.leave()
    change({ status: 'waiting', reason: 'hidden' })
  }

  const connect = () => {
    if (signal.aborted || !isIdle()) return
    if (connection) connection.restart()
    else ask(true)
  }

  const isVisible = () => globalThis.document?.visibilityState !== 'hidden'
  const listen = (
    target: EventTarget | undefined,
    types: string,
    listener: (event: Event) => void,
  ) => {
    for (const type of types.split(' ')) target?.addEventListener?.(type, listener, { signal })
  }
  listen(globalThis, 'online offline', () => connection?.restart())
  listen(globalThis, 'pagehide', leave)
  listen(globalThis, 'pageshow', event => (event as PageTransitionEvent).persisted && join())
  listen(globalThis.document, 'freeze', leave)
  listen(globalThis.document, 'resume', join)
  listen(globalThis.document, 'visibilitychange', () => {
    if (isVisible() && state.status === 'waiting') connect()
  })
  const watch = setInterval(() => {
    if (connection || !isStarted || isIdle() || !isVisible()) return
    if (Date.now() - heardAt < stallMs * 2) return
    heardAt = Date.now()
    tabs.takeOver()
  }, stallMs / 2)

  const start = async () => {
    await null
    isStarted = true
    await firstPage?.catch(() => null)
    if (!signal.aborted) join()
  }
  void start()

  const mark = async (body: object) => {
    const unread = await requests.mark(body)
    change({ unread })
    return unread
  }

  return {
    get state() {
      return state
    },
    get status() {
      return state.status
    },
    get unread() {
      return state.unread
    },
    on: events.add,
    onControl: controls.add,
    subscribe: listener => changes.add('', listener),
    connect,
    close() {
      ended.abort()
      clearInterval(watch)
      tabs.leave()
      change({ status: 'closed', reason: 'closed' })
    },
    list(query = {}) {
      const isFirst = !isStarted && query.before === undefined
      const page = requests.list(query).then(page => {
        if (isFirst) {
          position = page.cursor
          lostAt = Date.now()
        }
        change({ unread: page.unread })
        return page
      })
      if (isFirst) firstPage = page
      return page
    },
    markRead: ids => mark({ ids }),
    markUnread: ids => mark({ ids, read: false }),
    markAllRead: () => mark({ all: true }),
    markReadUpTo: upTo => mark({ upTo }),
    async *[Symbol.asyncIterator]() {
      const waiting: AnyEvent<P>[] = []
      let wake: (() => void) | null = null
      const stops = [
        events.add('*', event => {
          waiting.push(event)
          wake?.()
        }),
        changes.add('', () => wake?.()),
      ]
      try {
        while (!signal.aborted || waiting.length > 0) {
          if (waiting.length > maxWaiting)
            throw new Error(`${waiting.length} events wait: too slow`)
          const event = waiting.shift()
          if (event) yield event
          else
            await new Promise<void>(resolve => {
              wake = resolve
            })
        }
      } finally {
        for (const stop of stops) stop()
      }
    },
  }
}
