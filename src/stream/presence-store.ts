import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'
import type { Facts } from '../observe/metrics.ts'
import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type { OpenStream, Presence } from './presence.ts'

export type InstancePresence = Presence & {
  start(): void
  /** Writes that this instance and its streams have gone. */
  stop(): Promise<void>
}

/** How long changes are gathered before they are written. */
const delayMs = 50
/** So many streams go into one statement. */
const rowsAtOnce = 1000

/**
 * Writes this instance and its open streams into `kairan.instances` and `kairan.streams`, a batch at a time
 * and after the fact: opening a stream never waits for it. What could not be written is written anew as
 * a whole, as it is when Postgres has crashed and lost it.
 */
export const createPresence = (options: {
  database: Database
  instanceId: string
  /** Between two signs of life: others take an instance for gone after ten seconds. */
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
  let isLiving = false
  let timer: ReturnType<typeof setTimeout> | null = null
  let heartbeat: ReturnType<typeof setInterval> | null = null
  let writing: Promise<void> = Promise.resolve()

  const schedule = () => {
    if (!isKnown) return
    timer ??= setTimeout(() => {
      timer = null
      writing = writing.then(() => attempt(writeWaiting))
    }, delayMs)
  }

  const attempt = async (work: () => Promise<void>) => {
    try {
      await work()
    } catch (error) {
      if (isKnown) report.warn({ error: messageOf(error) }, 'Who is here could not be written.')
      isKnown = false
    }
  }

  const writeWaiting = async () => {
    if (!isKnown) return
    const streams = [...opened.values()]
    const ids = [...closed]
    opened = new Map()
    closed = new Set()
    await note(streams.splice(0, rowsAtOnce), ids)
    while (streams.length > 0) await note(streams.splice(0, rowsAtOnce), [])
  }

  const note = (streams: OpenStream[], ids: string[]) => {
    const rows = streams.map(({ id, userId, channels, address, openedAt }) => ({
      id,
      user_id: userId,
      channels: [...channels],
      address,
      opened_at: openedAt,
    }))
    return database.run(
      sql => sql`
        select kairan.note_streams(
          ${instanceId}, ${sql.json(rows)}, ${sql.json(ids)}, ${options.maxStreamsPerUser}
        )`,
    )
  }

  /** A sign of life; and all streams anew when Postgres does not know them. */
  const live = async () => {
    if ((await sign()) && isKnown) return
    await forget()
    await sign()
    // From here on what opens and closes is gathered; the rest is in the list.
    isKnown = true
    closed = new Set()
    opened = new Map(options.list().map(stream => [stream.id, stream]))
    await writeWaiting()
  }

  const sign = async () => {
    const facts = await options.facts()
    const [row] = await database.run(
      sql => sql<{ known: boolean }[]>`
        select kairan.note_instance(${instanceId}, ${sql.json(facts)}) as known`,
    )
    return row?.known === true
  }

  const forget = () => database.run(sql => sql`select kairan.forget_instance(${instanceId})`)

  return {
    opened(stream) {
      if (!isKnown) return
      opened.set(stream.id, stream)
      schedule()
    },
    closed(id) {
      // One that nobody has heard of yet needs no word of its end.
      if (!isKnown || opened.delete(id)) return
      closed.add(id)
      schedule()
    },
    start() {
      const beat = () => {
        if (isLiving) return
        isLiving = true
        writing = writing
          .then(() => attempt(live))
          .finally(() => {
            isLiving = false
          })
      }
      beat()
      heartbeat ??= setInterval(beat, options.everyMs)
    },
    async stop() {
      if (heartbeat) clearInterval(heartbeat)
      if (timer) clearTimeout(timer)
      await writing
      isKnown = false
      await forget().catch(() => undefined)
    },
  }
}

/** Tells the instance that has a stream of this user when its token ends; false when nobody has it. */
export const createExtend =
  (database: Database) =>
  async (streamId: string, userId: string, expiresAt: number): Promise<boolean> => {
    const [row] = await runForClient(
      database,
      sql => sql<{ told: boolean }[]>`
        select kairan.extend_stream(${streamId}, ${userId}, ${expiresAt}) as told`,
    )
    return row?.told === true
  }
