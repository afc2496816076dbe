import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import { createWorkLoop } from '../lib/work-loop.ts'
import type { Facts } from '../observe/metrics.ts'
import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type {
  CarryAlsoElsewhere,
  ChangeElsewhere,
  ExtendElsewhere,
  OpenStream,
  Presence,
} from './presence.ts'

export type InstancePresence = Presence & {
  start(): void
  /** Removes this instance and its streams. */
  stop(): Promise<void>
}

/** How long changes wait until they are written together. */
const delayMs = 50
/** At most so many streams go into one statement. */
const rowsAtOnce = 1000

/**
 * Writes this instance and its open streams into `kairan.instances` and `kairan.streams`, in batches and
 * after the fact: opening a stream never waits for it. When a batch could not be written, or Postgres has
 * crashed and lost these tables, all open streams are written again.
 */
export const createPresence = (options: {
  database: Database
  instanceId: string
  /** Time between two heartbeats. After ten seconds without one, an instance counts as gone. */
  everyMs: number
  maxStreamsPerUser: number
  report: Report
  /** All streams that are open now. */
  list(): OpenStream[]
  /** What this instance says of itself. */
  facts(): Promise<Facts>
}): InstancePresence => {
  const { database, instanceId, report } = options
  let opened = new Map<string, OpenStream>()
  let closed = new Set<string>()
  /** Whether Postgres knows of all streams but those that wait here. */
  let isKnown = false
  let isHeartbeatDue = false
  let timer: ReturnType<typeof setInterval> | null = null

  const write = async () => {
    if (isHeartbeatDue) {
      await beat().finally(() => {
        isHeartbeatDue = false
      })
    }
    if (isKnown) await writeWaiting()
    return 0
  }

  /** Tells that this instance lives; when Postgres does not know its streams, writes all of them again. */
  const beat = async () => {
    if ((await noteInstance()) && isKnown) return
    await forget()
    await noteInstance()
    // From here on what opens and closes is collected; the rest is in the list.
    isKnown = true
    closed = new Set()
    opened = new Map(options.list().map(stream => [stream.id, stream]))
  }

  const writeWaiting = async () => {
    const streams = [...opened.values()]
    const ids = [...closed]
    if (streams.length === 0 && ids.length === 0) return
    opened = new Map()
    closed = new Set()
    await noteStreams(streams.splice(0, rowsAtOnce), ids)
    while (streams.length > 0) await noteStreams(streams.splice(0, rowsAtOnce), [])
  }

  const noteInstance = async () => {
    const facts = await options.facts()
    const [row] = await database.run(
      sql => sql<{ known: boolean }[]>`
        select kairan.note_instance(${instanceId}, ${sql.json(facts)}) as known`,
    )
    return row?.known === true
  }

  const noteStreams = (streams: OpenStream[], ids: string[]) => {
    const rows = streams.map(({ id, userId, channels, address, openedAt, position }) => ({
      id,
      user_id: userId,
      channels: [...channels],
      address,
      opened_at: openedAt,
      seq: position,
    }))
    return database.run(
      sql => sql`
        select kairan.note_streams(
          ${instanceId}, ${sql.json(rows)}, ${sql.json(ids)}, ${options.maxStreamsPerUser}
        )`,
    )
  }

  const forget = () => database.run(sql => sql`select kairan.forget_instance(${instanceId})`)

  const loop = createWorkLoop({
    work: write,
    failed(error) {
      if (isKnown) report.warn({ error: messageOf(error) }, 'Presence could not be written.')
      isKnown = false
    },
    delayMs,
    // The next heartbeat writes all again.
    retryMs: options.everyMs,
  })

  const heartbeat = () => {
    // The database is slow: one at a time.
    if (isHeartbeatDue) return
    isHeartbeatDue = true
    void loop.flush()
  }

  return {
    opened(stream) {
      if (!isKnown) return
      opened.set(stream.id, stream)
      loop.schedule()
    },
    closed(id) {
      if (!isKnown) return
      // It may be written already: one that has other channels waits here, too.
      opened.delete(id)
      closed.add(id)
      loop.schedule()
    },
    start() {
      if (timer) return
      heartbeat()
      timer = setInterval(heartbeat, options.everyMs)
    },
    async stop() {
      if (timer) clearInterval(timer)
      await loop.stop()
      isKnown = false
      await forget().catch(() => undefined)
    },
  }
}

/** Tells the instance that has a stream of this user of another token; false when no instance has it. */
export const createExtend =
  (database: Database): ExtendElsewhere =>
  async (streamId, { userId, expiresAt, subscribes }) => {
    const [row] = await runForClient(
      database,
      sql => sql<{ told: boolean }[]>`
        select kairan.extend_stream(
          ${streamId}, ${userId}, ${expiresAt}, ${sql.json([...subscribes])}
        ) as told`,
    )
    return row?.told === true
  }

/** Tells the instance that has a stream of this user which channels it carries besides its own. */
export const createCarryAlso =
  (database: Database): CarryAlsoElsewhere =>
  async (streamId, userId, names) => {
    const [row] = await runForClient(
      database,
      sql => sql<{ told: boolean }[]>`
        select kairan.carry_also(${streamId}, ${userId}, ${sql.json([...names])}) as told`,
    )
    return row?.told === true
  }

/** Tells the instance that has a stream of this user to add and to remove channels. */
export const createChange =
  (database: Database, maxChannels: number): ChangeElsewhere =>
  async (streamId, userId, { add, remove }) => {
    const [row] = await runForClient(
      database,
      sql => sql<{ channels: string[] | null }[]>`
        select kairan.change_stream(
          ${streamId}, ${userId}, ${sql.json([...add])}, ${sql.json([...remove])}, ${maxChannels}
        ) as channels`,
    )
    return row?.channels ?? null
  }
