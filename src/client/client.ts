import { type Connection, keepConnection } from './connection.ts'
import { type Count, type Counts, createCounter } from './count.ts'
import { distance } from './cursors.ts'
import { type FirstPage, readFirst } from './first-pages.ts'
import type { Frame } from './frames.ts'
import { createListeners } from './listeners.ts'
import { createMemory } from './memory.ts'
import { isVisible, watchPage } from './page.ts'
import { createReader } from './reader.ts'
import { createRequests, queryOf } from './requests.ts'
import type { Asked, Told } from './tab-messages.ts'
import { createTabs } from './tabs.ts'
import type {
  AnyEvent,
  AnyPayloads,
  Channel,
  InboxPage,
  InboxQuery,
  Loop,
  NotificationEvent,
  Notifications,
  Options,
  Payloads,
  State,
  Status,
} from './types.ts'

type Listener = (event: NotificationEvent) => void

/** After a longer cut, missed events are old and should not pop up. */
const awayMs = 60_000

/** The client of `createNotifications`, with a `loop` over events: the bell has none. */
export const createClient = <P extends Payloads<P> = AnyPayloads>(
  options: { [Name in keyof Options]: Options[Name] | undefined },
  loop: Loop,
): Notifications<P> => {
  const { key, channels, shareConnection = true, resume = true, stallMs = 37_500 } = options
  const { ask: send, request } = createRequests(options, heed)
  // The number is the version of the messages between tabs.
  const name = key === undefined ? null : `kairan 4 ${options.url ?? ''} ${channels ?? ''} ${key}`
  const memory = createMemory(resume ? name : null)
  const changes = createListeners<void>()
  const ended = new AbortController()

  let state: State = { status: 'connecting', reason: null, unread: null, unseen: null }
  let connection: Connection | null = null
  /** The cursor of the connection. It is behind `place` while it reads again for another tab. */
  let readTo: string | null = null
  let heardAt = Date.now()
  let lostAt = 0
  /** Whose the answers are. */
  let user: string | null = null
  const firstPages: FirstPage[] = []
  let also: Told['also'] = {}
  const tab = Math.random()
  /** The channels that the other tabs listen to. */
  const others = new Map<number, string[]>()
  /** The stream that is open. */
  let streamId: unknown
  let carrying = Promise.resolve()
  /** Whether it was not asked yet for what is listened to by now. */
  let isWished = false
  /** How many counts were asked for. */
  let turns = 0
  let isBegun = false
  let isStarted = false

  const change = (status: Status, reason: string | null, counts: Partial<Counts> = {}) => {
    const now = { ...state, status, reason, ...counts }
    if (`${Object.values(now)}` === `${Object.values(state)}`) return
    if (state.status === 'open' && status !== 'open') lostAt = heardAt
    state = now
    changes.call('')
  }

  const isIdle = () => state.status === 'waiting' || state.status === 'closed'

  const reader = createReader({
    cursor: memory('sessionStorage'),
    onMove(cursor) {
      memory('sessionStorage', cursor)
      if (connection) memory('localStorage', cursor)
    },
    isAway: () => Date.now() - lostAt > awayMs,
    onEvent: event => counter.add(event, Date.parse(event.createdAt)),
    onAgain(event) {
      counter.add(event, 0)
      reader.takeControl({ type: 'redelivered', event })
    },
    isExtra: channel => also.extra?.includes(channel),
    onControl(control) {
      const { type, unread, unseen, cursor, resumed } = control
      if (typeof unread === 'number') {
        counter.learn({ ...control, unread, unseen: Number(unseen), cursor: `${cursor}` })
      }
      if (type === 'ready' && connection) {
        ;({ streamId } = control)
        carry()
      }
      if (type === 'also') also = control
      if (type === 'ready' || type === 'gap') counter.begin(reader.cursor, !!resumed)
      if (type === 'withdrawn' || type === 'preferences') counter.recountSoon()
    },
  })

  const counter = createCounter({
    ask: () => connection && state.status === 'open' && list({ limit: 1 }).catch(() => null),
    onChange(counts) {
      change(state.status, state.reason, counts)
    },
  })

  /** Learns the count of an answer that this tab has asked for just now. */
  const counted = async <Answer extends Count>(answer: Promise<Answer>) => {
    const asked = counter.revision()
    const turn = ++turns
    // This is sent after all that has begun by then: it tells that, too.
    await null
    counter.stop()
    answer.then(
      count => {
        counter.learn(count, asked, turn)
        if (connection) tell()
        else tabs.post({ count })
      },
      () => counter.recountSoon(2000),
    )
    return answer
  }

  /** Throws when the answers are another user's: nothing here is meant for them. */
  function heed(headers: Headers) {
    const other = headers.get('kairan-user')
    user ??= other
    counter.setClock(headers.get('kairan-time'))
    if (other === null || user === other) return
    change('closed', 'user_changed')
    if (connection) tell()
    end('user_changed')
    throw new Error('user_changed')
  }

  const tell = (frame: Frame | null = null) => {
    tabs.post({ state, count: counter.at(reader.cursor), user, at: readTo, frame, also })
  }

  /** Requests the events that this tab has missed from the leading tab. */
  const ask = (now = false) => tabs.post({ ...own(), after: reader.cursor, now })

  /** The channels that this tab listens to. */
  const own = () => ({ tab, channels: reader.channels() })
  /** Those of all tabs. */
  const all = () => [...new Set([reader.channels(), ...others.values()].flat())]

  const wish = () => {
    isWished = true
    tabs.post(own())
    carry()
  }

  /** Has the open stream carry what somebody listens to, one request after the other. */
  const carry = () => {
    carrying = carrying.then(async () => {
      while (connection && streamId && isWished) {
        isWished = false
        await send(`/stream/${streamId}/channels`, { also: all() }).catch(() => {
          isWished = true
          return new Promise(resolve => setTimeout(resolve, Math.random() * 2000))
        })
      }
    })
  }

  /** Handles a message of the leading tab. */
  const follow = ({ state: { status, reason }, at, frame, ...told }: Told) => {
    also = told.also
    // A message between tabs can be lost. Nobody answers this one: each answer would bring the next.
    if (!reader.channels().every(name => also.channels?.includes(name))) tabs.post(own())
    if (at !== null) {
      // A new tab starts at the cursor of the others.
      if (reader.cursor === null) reader.moveTo(at)
      const missed = distance(at, reader.cursor)
      if (missed > 0) return ask()
      if (!(missed <= 0)) {
        reader.moveTo(at)
        reader.takeControl({ type: 'gap', reason: 'log' })
      }
    }
    if (frame) reader.take(frame)
    user ??= told.user
    change(status, reason)
    heardAt = Date.now()
  }

  /** Handles a message of another tab, when this one leads. */
  const answer = ({ after, now }: Asked, connection: Connection) => {
    const isBehind = after && (readTo === null || distance(after, readTo) < 0)
    if (isBehind) readTo = after
    if (isBehind || (now && isIdle())) {
      change('connecting', null)
      connection.restart()
    }
    tell()
  }

  const lead = () => {
    if (connection) return
    readTo = reader.cursor ?? memory('localStorage')
    connection = keepConnection({
      // When the stream is closed, it is closed for all tabs, until one of them connects.
      isClosed: state.status === 'closed',
      stallMs,
      request: (refresh, signal) => {
        const headers = readTo === null ? {} : { 'last-event-id': readTo }
        streamId = null
        isWished = false
        const query = queryOf({ channels, also: `${all()}` || undefined })
        return request(`/stream?${query}`, { signal, headers }, refresh)
      },
      renew: async () => (await request(`/stream/${streamId}/token`, { method: 'POST' }, true)).ok,
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
        change(status, reason)
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
      const { count, tab, channels } = message as Asked
      if (count) counter.learn(count)
      if (tab && channels) {
        // A new tab does not know of this one, either.
        if (`${others.get(tab)}` !== `${channels}`) {
          others.set(tab, channels)
          wish()
        }
      }
      if (message.state) connection || follow(message)
      else if (connection) {
        if ('after' in message) answer(message, connection)
        else if (count) tell()
      }
    },
  })

  const leave = () => {
    tabs.post({ tab, channels: [] })
    tabs.leave()
  }

  const join = () => {
    heardAt = Date.now()
    tabs.join()
    ask(true)
  }

  const connect = () => {
    if (ended.signal.aborted || !isIdle()) return
    // The leading tab may be gone: the one that leads next connects unless it is closed.
    change('connecting', null)
    if (connection) connection.restart()
    else ask(true)
  }

  const end = (reason: string) => {
    ended.abort()
    clearInterval(watch)
    counter.stop()
    leave()
    change('closed', reason)
  }

  let watch: ReturnType<typeof setInterval> | undefined

  const begin = async () => {
    if (isBegun) return
    isBegun = true
    await null
    isStarted = true
    const { first, items } = await readFirst(firstPages, reader.cursor === null)
    if (first) {
      reader.moveTo(first)
      lostAt = Date.now()
    }
    for (const item of items) {
      if (distance(item.cursor, reader.cursor) > 0) reader.know(item)
    }
    if (ended.signal.aborted) return
    watchPage(
      {
        network: () => state.status !== 'closed' && connection?.restart(),
        shown: () => state.status === 'waiting' && connect(),
        putAway() {
          leave()
          change('waiting', 'hidden')
        },
        back: join,
      },
      ended.signal,
    )
    // The leading tab sends a message at every heartbeat. If it hangs, another tab takes the lead.
    watch = setInterval(() => {
      if (connection || isIdle() || !isVisible()) return
      if (Date.now() - heardAt < stallMs * 2) return
      heardAt = Date.now()
      tabs.takeOver()
    }, stallMs / 2)
    join()
  }

  const list = (query: InboxQuery = {}) => {
    const page = counted<InboxPage>(send(`?${queryOf(query)}`))
    if (!isStarted && query.before === undefined) {
      firstPages.push({ page, isWhole: !(query.type || query.unread || query.archived) })
    }
    return page
  }

  const mark = async (body: object) => (await counted<Count>(send('/read', body))).unread

  /** The same, and the stream begins: somebody wants to know. */
  const begun =
    <Args extends unknown[], Result>(run: (...args: Args) => Result) =>
    (...args: Args) => {
      void begin()
      return run(...args)
    }
  // The listeners of a type receive events of that type only.
  const on = begun(reader.on) as Notifications<P>['on']

  // A render on a server makes a client and listens to nothing: it opens no stream.
  if ('document' in globalThis || 'WorkerGlobalScope' in globalThis) void begin()

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
    get unseen() {
      return state.unseen
    },
    on,
    channel: name => ({
      on: begun(((type, listener, onRefused) => {
        let isRefused: boolean | undefined
        const stops = [
          reader.on(type, listener as Listener, name),
          reader.onControl('also', ({ refused }) => {
            const was = isRefused
            isRefused = refused?.includes(name)
            if (isRefused && !was) onRefused?.()
          }),
        ]
        wish()
        return () => {
          stops.map(stop => stop())
          wish()
        }
      }) as Channel<P>['on']),
    }),
    onControl: begun(reader.onControl),
    subscribe: begun((listener: () => void) => changes.add('', listener)),
    connect: begun(connect),
    close: () => end('closed'),
    list,
    request: send,
    markRead: ids => mark({ ids }),
    markUnread: ids => mark({ ids, read: false }),
    markAllRead: () => mark({ all: true }),
    markReadUpTo: upTo => mark({ upTo }),
    [Symbol.asyncIterator]: () => loop<AnyEvent<P>>(on, ended.signal),
  }
}
