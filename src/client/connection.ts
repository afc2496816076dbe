import { createParser, type Frame } from './frames.ts'
import type { Control, Status } from './types.ts'

/** A stream that comes back by itself. */
export type Connection = {
  /** Connects now: ends a wait, or replaces the stream that is open. */
  restart(): void
  stop(): void
}

/** How an attempt ended: it is repeated after a while, after `afterMs`, or when somebody asks. */
type End = { reason: string; afterMs?: number | undefined; isFinal?: boolean }

/** The longest wait between two attempts. */
const maxWaitMs = 30_000

/**
 * How long to wait: after a stream that was open, what the server asked for; then up to twice as long each
 * time, at random, so that those who lost it together don't return together.
 */
export const waitMs = (failures: number, retryMs: number) =>
  failures === 0 ? retryMs : Math.random() * Math.min(maxWaitMs, retryMs * 2 ** failures)

/** So many refusals in a row, each with a new token, are an answer. */
const maxRefusals = 3

/**
 * Keeps a stream open until it is stopped. It is read with `fetch`: an EventSource tells neither why it
 * was refused nor that a heartbeat came, sends no Authorization, and gives up for good on a proxy's 502.
 */
export const keepConnection = (options: {
  /** Asks for the stream. `refresh`: the last token was refused, or has ended. */
  request(refresh: boolean, signal: AbortSignal): Promise<Response>
  /** Asks that the stream may outlive its token. Resolves with whether it may. */
  renew(streamId: unknown): Promise<boolean>
  onFrame(frame: Frame): void
  /** Hears of every piece that came, after its frames. */
  onBytes(): void
  onStatus(status: Status, reason: string | null): void
  stallMs: number
  /** Whether it begins only when it is asked to. */
  isClosed: boolean
}): Connection => {
  const { onStatus, stallMs } = options
  let isStopped = false
  let attempt = new AbortController()
  let endWait: (() => void) | null = null
  let retryMs = 500 + Math.random() * 1000
  let failures = 0
  let refusals = 0
  let isStale = false
  let openId: unknown

  const run = async () => {
    if (options.isClosed) await wait()
    while (!isStopped) {
      onStatus('connecting', null)
      const { reason, afterMs = waitMs(failures++, retryMs), isFinal } = await tryOnce()
      if (isStopped) return
      onStatus(isFinal ? 'closed' : 'waiting', reason)
      await wait(isFinal ? undefined : afterMs)
    }
  }

  /** Waits until somebody asks, or for so long. */
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
      return signal.aborted ? { reason: signal.reason, afterMs: 0 } : { reason: 'network' }
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
      return { reason: 'refused', isFinal, afterMs: refusals === 1 ? 0 : undefined }
    }
    if (status === 204) return { reason: 'ended', isFinal: true }
    if (status !== 200) return { reason: `http_${status}` }
    if (!body || !headers.get('content-type')?.startsWith('text/event-stream')) {
      return { reason: 'not_a_stream' }
    }
    let end: End | undefined
    const parse = createParser({
      frame(frame) {
        if (end || signal.aborted) return
        if (frame.event === 'control' && frame.data) end = heed(JSON.parse(frame.data))
        options.onFrame(frame)
      },
      retry(ms) {
        retryMs = ms
      },
    })
    const reader = body.getReader()
    const decoder = new TextDecoder()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return { reason: 'network' }
      parse(decoder.decode(value, { stream: true }))
      if (end) return end
      if (!signal.aborted) onBytes()
    }
  }

  /** Does what a control event asks for; with what it returns, the stream is over. */
  const heed = ({ type, reason, afterMs, streamId }: Control): End | undefined => {
    switch (type) {
      case 'ready':
        failures = 0
        refusals = 0
        isStale = false
        onStatus('open', null)
        openId = streamId
        return
      case 'token_expiring':
        void renew()
        return
      case 'token_expired':
        isStale = true
        return { reason: type, afterMs: 0 }
      case 'reconnect':
        return { reason: String(reason ?? type), afterMs: Number(afterMs) || undefined }
      case 'replaced':
      case 'revoked':
        return { reason: type, isFinal: true }
    }
  }

  /** If it can't be, the stream goes on until the old token ends, and a new one begins with a new token. */
  const renew = async () => {
    isStale = !(await options.renew(openId).catch(() => false))
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
