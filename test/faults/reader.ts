import { connect, type Socket } from 'node:net'
import { createParser } from 'eventsource-parser'
import { createResponseReader } from '../support/chunked.ts'
import { tokenFor } from '../support/service.ts'
import type { Random } from './random.ts'

/** An event as it came to one reader. */
export type Seen = { seq: number; id: string }

export type Reader = {
  readonly user: string
  readonly seen: Seen[]
  /** Controls that say something is missing: never true in a run, where nothing is removed. */
  readonly gaps: string[]
  readonly connects: number
  /** Comes and goes until it is stopped. */
  run(): Promise<void>
  /** From now on it stays, and reads. */
  rest(): void
  stop(): void
}

/**
 * A real client over a plain socket, that comes and goes with its cursor, to any instance. It reads, or
 * stops reading for a while, or leaves in the middle of an event.
 */
export const createReader = (
  user: string,
  urls: string[],
  start: string,
  random: Random,
): Reader => {
  const seen: Seen[] = []
  const gaps: string[] = []
  let cursor = start
  let connects = 0
  let socket: Socket | null = null
  let resting = false
  let stopped = false

  const visit = async (url: string) => {
    const { hostname, port, host } = new URL(url)
    const open = connect(Number(port), hostname)
    const ended = Promise.withResolvers<void>()
    socket = open
    connects++
    open.on('error', () => ended.resolve())
    open.on('close', () => ended.resolve())
    open.write(
      `GET /notifications/stream HTTP/1.1\r\nHost: ${host}\r\nLast-Event-ID: ${cursor}\r\n` +
        `Authorization: Bearer ${await tokenFor(user)}\r\n\r\n`,
    )
    const parser = createParser({ onEvent: take })
    const response = createResponseReader()
    open.on('data', (bytes: Buffer) => {
      parser.feed(response.read(bytes))
      if (response.ended) open.destroy()
    })
    const leave = new AbortController()
    void behave(open, leave.signal)
    await ended.promise
    leave.abort()
  }

  const take = ({
    id,
    event,
    data,
  }: {
    id?: string | undefined
    event?: string | undefined
    data: string
  }) => {
    if (event === undefined && id) seen.push({ seq: seqOf(id), id: JSON.parse(data).id })
    if (event === 'control' && JSON.parse(data).type === 'gap') gaps.push(data)
    if (id) cursor = id
  }

  const behave = async (open: Socket, gone: AbortSignal) => {
    await Bun.sleep(random.between(50, 4000))
    if (!resting && !gone.aborted && random.chance(0.3)) {
      open.pause()
      await Bun.sleep(random.between(100, 3000))
      open.resume()
      await Bun.sleep(random.between(0, 1000))
    }
    if (!resting && !gone.aborted) open.destroy()
  }

  return {
    user,
    seen,
    gaps,
    get connects() {
      return connects
    },
    async run() {
      while (!stopped) {
        await visit(random.pick(urls))
        if (!stopped) await Bun.sleep(random.between(5, 300))
      }
    },
    rest() {
      resting = true
      socket?.resume()
    },
    stop() {
      stopped = true
      socket?.destroy()
    },
  }
}

const seqOf = (cursor: string) => Number(cursor.split('-')[1])
