import { type Connection, keepConnection } from './connection.ts'
import { distance } from './cursors.ts'
import type { Frame } from './frames.ts'
import { iterate } from './iterate.ts'
import { createListeners } from './listeners.ts'
import { createMemory } from './memory.ts'
import { isVisible, watchPage } from './page.ts'
import { createReader } from './reader.ts'
import { createRequests } from './requests.ts'
import { createTabs } from './tabs.ts'
import type { AnyEvent, AnyPayloads, Notifications, Options, Payloads, State } from './types.ts'

export type * from './types.ts'

/** What the leading tab tells the others: its state, where its stream was before a frame, and the frame. */
type Told = { state: State; at: string | null; frame: Frame | null }

/** What another tab asks of it: to go on after this cursor; to connect `now` if it does not. */
type Asked = { after: string | null; now: boolean }

/** A stream that was away for longer has missed what should not pop up any more. */
const awayMs = 60_000

/**
 * Connects to Kairan, and stays connected until `close()`. Every stored event comes once and in order,
 * over cuts, restarts and page loads, or else there is a `gap`. Of the tabs with one `key`, one holds the
 * connection for all. A notification on several channels comes once, on the first of them.
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
  const changes = createListeners<void>()
  const ended = new AbortController()

  let state: State = { status: 'connecting', reason: null, unread: null }
  let connection: Connection | null = null
  /** Up to here the connection has read: behind `place` while it reads again for another tab. */
  let readTo: string | null = null
  let heardAt = Date.now()
  let lostAt = 0
  let listedAt = -1
  /** Up to here events are in the count of the unread. */
  let countedTo: string | null = null
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

  const reader = createReader({
    cursor: memory('sessionStorage'),
    onMove(cursor) {
      memory('sessionStorage', cursor)
      if (connection) memory('localStorage', cursor)
    },
    isAway: () => Date.now() - lostAt > awayMs,
    onEvent({ cursor }) {
      const isCounted = cursor === null || distance(cursor, countedTo) <= 0
      if (state.unread !== null && !isCounted) change({ unread: state.unread + 1 })
    },
    onControl({ type, unread }) {
      if (typeof unread === 'number') learn(unread)
      // What was read elsewhere meanwhile was told to streams that were open, and is not told again.
      const isKnown = state.unread === null || lostAt === listedAt
      if (type === 'ready' && connection && !isKnown) list({ limit: 1 }).catch(() => null)
    },
  })

  /** Learns how many are unread, when the log ended at `end`. */
  const learn = (unread: number, end = countedTo) => {
    countedTo = end
    change({ unread })
    if (connection) tell()
  }

  const tell = (frame: Frame | null = null) => tabs.post({ state, at: readTo, frame })

  /** Asks the leading tab for what this one has missed. */
  const ask = (now = false) => tabs.post({ after: reader.cursor, now })

  /** Hears what the leading tab tells. */
  const follow = ({ state: told, at, frame }: Told) => {
    if (at !== null) {
      // A new tab begins where the others are.
      if (reader.cursor === null) reader.moveTo(at)
      const missed = distance(at, reader.cursor)
      if (missed > 0) return ask()
      if (!(missed <= 0)) {
        reader.moveTo(at)
        reader.takeControl({ type: 'gap', reason: 'log' })
      }
    }
    if (frame) reader.take(frame)
    change({ ...told, unread: told.unread ?? state.unread })
    heardAt = Date.now()
  }

  /** Does what another tab asks of this one, which leads. */
  const answer = ({ after, now }: Asked, { restart }: Connection) => {
    const isBehind = after !== null && (readTo === null || distance(after, readTo) < 0)
    if (isBehind) {
      readTo = after
      change({ status: 'connecting' })
    }
    if (isBehind || (now && isIdle())) restart()
    tell()
  }

  const lead = () => {
    if (connection) return
    readTo = reader.cursor ?? memory('localStorage')
    connection = keepConnection({
      // What ended for one tab has ended for all, until one of them asks.
      isClosed: state.status === 'closed',
      stallMs,
      request: (refresh, signal) => {
        const headers = readTo === null ? {} : { 'last-event-id': readTo }
        return requests.request(path, refresh, { signal, headers })
      },
      renew: requests.renew,
      onFrame(frame) {
        reader.take(frame)
        tell(frame)
        readTo = frame.id ?? readTo
      },
      onBytes() {
        heardAt = Date.now()
        tell()
      },
      onStatus(status, reason) {
        change({ status, reason })
        tell()
      },
    })
  }

  const tabs = createTabs<Told | Asked>(shareConnection ? name : null, {
    lead,
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

  const connect = () => {
    if (!isIdle()) return
    if (connection) connection.restart()
    else ask(true)
  }

  watchPage(
    {
      network: () => state.status !== 'closed' && connection?.restart(),
      shown: () => state.status === 'waiting' && connect(),
      putAway() {
        tabs.leave()
        change({ status: 'waiting', reason: 'hidden' })
      },
      back: join,
    },
    ended.signal,
  )

  // The tab that leads says something at every heartbeat. One that hangs is not worth waiting for.
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
    if (!ended.signal.aborted) join()
  }
  void start()

  const list: Notifications<P>['list'] = (query = {}) => {
    const isFirst = !isStarted && query.before === undefined
    const page = requests.list(query).then(page => {
      if (isFirst) {
        reader.moveTo(page.cursor)
        listedAt = lostAt = Date.now()
      }
      learn(page.unread, page.cursor)
      return page
    })
    if (isFirst) firstPage = page
    return page
  }

  const mark = async (body: object) => {
    const unread = await requests.mark(body)
    learn(unread)
    return unread
  }

  // Under the name of a type there are only events of that type.
  const on = reader.on as Notifications<P>['on']

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
    on,
    onControl: reader.onControl,
    subscribe: listener => changes.add('', listener),
    connect,
    close() {
      ended.abort()
      clearInterval(watch)
      tabs.leave()
      change({ status: 'closed', reason: 'closed' })
    },
    list,
    markRead: ids => mark({ ids }),
    markUnread: ids => mark({ ids, read: false }),
    markAllRead: () => mark({ all: true }),
    markReadUpTo: upTo => mark({ upTo }),
    [Symbol.asyncIterator]: () => iterate<AnyEvent<P>>(listener => on('*', listener), ended.signal),
  }
}
