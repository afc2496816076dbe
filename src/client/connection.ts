import { createParser, type Frame } from './frames.ts'
import type { Control, Status } from './types.ts'

/** A stream that reconnects by itself. */
export type Connection = {
  /** Connects now: ends the wait, or replaces the open stream. */
  restart(): void
  stop(): void
}

/**
 * How an attempt ended, and when the next one begins: after a random time, after `afterMs`, or when `connect()` is
 * called.
 */
type End = [reason: string, afterMs?: number | undefined, isFinal?: boolean]

/** The longest wait between two attempts, in milliseconds. */
const maxWaitMs = 30_000

/**
 * How long to wait before the next attempt: first the time of the server's `retry:`, then up to twice as long each
 * time. The time is random, so that clients that were cut together do not reconnect together.
 */
export const waitMs = (failures: number, retryMs: number) =>
  failures === 0 ? retryMs : Math.random() * Math.min(maxWaitMs, retryMs * 2 ** failures)

/** After this many refusals in a row, each with a new token, the stream is closed. */
const maxRefusals = 3

/**
 * Keeps a stream open until it is stopped. It uses `fetch`, because an EventSource reports neither the reason of a
 * refusal nor heartbeats, sends no Authorization header, and gives up for good when a proxy answers 502.
 */
export const keepConnection = (options: {
  /** Requests the stream. `refresh`: the last token was refused or has expired. */
  request(refresh: boolean, signal: AbortSignal): Promise<Response>
  /** Extends the open stream with a new token. Resolves with whether that worked. */
  renew(): Promise<boolean>
  onFrame(frame: Frame): void
  /** Called for every piece of the stream, after its frames. */
  onBytes(): void
  onStatus(status: Status, reason: string | null): void
  stallMs: number
  /** Whether it waits for the first call of `connect()`. */
  isClosed: boolean
}): Connection => {
  const { onStatus, stallMs } = options
  let isStopped = false
  let attempt = new AbortController()
  let endWait: (() => void) | null = null
  let retryMs = Math.random() * 1000 + 500
  let failures = 0
  let refusals = 0
  let isStale = false

  const run = async () => {
    if (options.isClosed) await wait()
    while (!isStopped) {
      onStatus('connecting', null)
      const [reason, afterMs = waitMs(failures++, retryMs), isFinal] = await tryOnce()
      if (isStopped) return
      onStatus(isFinal ? 'closed' : 'waiting', reason)
      await wait(isFinal ? undefined : afterMs)
    }
  }

  /** Waits for this time, or until `connect()` is called. */
  const wait = (ms?: number) =>
    new Promise<void>(resolve => {
      endWait = resolve
      if (ms !== undefined) setTimeout(resolve, ms)
    })

  const tryOnce = async (): Promise<End> => {
    attempt = new AbortController()
    const { signal } = attempt
    const isAborted = new Promise<never>((_, reject) => {
      signal.onabort = () => reject(signal.reason)
    })
    let heardAt = Date.now()
    const timer = setInterval(() => {
      if (Date.now() - heardAt > stallMs) attempt.abort('stalled')
    }, stallMs / 8)
    const onBytes = () => {
      heardAt = Date.now()
      options.onBytes()
    }
    try {
      return await Promise.race([isAborted, read(signal, onBytes)])
    } catch {
      return signal.aborted ? [signal.reason, 0] : ['network']
    } finally {
      clearInterval(timer)
      attempt.abort()
    }
  }

  const read = async (signal: AbortSignal, onBytes: () => void): Promise<End> => {
    const { status, body, headers } = await options.request(isStale, signal)
    if (status === 401 || status === 403) {
      isStale = true
      const isFinal = ++refusals >= maxRefusals
      return ['refused', refusals === 1 ? 0 : undefined, isFinal]
    }
    if (status === 204) return ['ended', undefined, true]
    if (status !== 200) return [`http_${status}`]
    if (!body || !headers.get('content-type')?.startsWith('text/event-stream')) {
      return ['not_a_stream']
    }
    let end: End | undefined
    const parse = createParser(
      frame => {
        if (end || signal.aborted) return
        if (frame.event === 'control' && frame.data) end = heed(JSON.parse(frame.data))
        options.onFrame(frame)
      },
      ms => {
        retryMs = ms
      },
    )
    const reader = body.getReader()
    const decoder = new TextDecoder()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return ['network']
      parse(decoder.decode(value, { stream: true }))
      if (end) return end
      if (!signal.aborted) onBytes()
    }
  }

  /** Handles a control event. If it returns an outcome, the stream is over. */
  const heed = ({ type, reason, afterMs }: Control): End | undefined => {
    switch (type) {
      case 'ready':
        failures = 0
        refusals = 0
        isStale = false
        onStatus('open', null)
        return
      case 'token_expiring':
        void renew()
        return
      case 'token_expired':
        isStale = true
        return [type, 0]
      case 'reconnect':
        return [`${reason ?? type}`, Number(afterMs) || undefined]
      case 'replaced':
      case 'revoked':
        return [type, undefined, true]
    }
  }

  /** If it fails, the stream continues until the old token expires, and the next one starts with a new token. */
  const renew = async () => {
    isStale = !(await options.renew().catch(() => false))
  }

  void run()
  return {
    restart() {
      endWait?.()
      attempt.abort('restarted')
    },
    stop() {
      isStopped = true
      this.restart()
    },
  }
}
