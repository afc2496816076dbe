import { createHmac } from 'node:crypto'
import { afterListening } from '../lib/patient-timer.ts'
import { parseWebhookSecret } from '../lib/webhook-secret.ts'

/** What is posted. `id` is the same each time, so that the receiver recognises what it has. */
export type Message = { id: string; body: string }

/** What became of an attempt. `retryAfterMs` is what the receiver asks for; one that is `final` is not repeated. */
export type Outcome =
  | { sent: true }
  | { sent: false; reason: string; retryAfterMs: number | null; isFinal: boolean }

export type Post = (message: Message, signal: AbortSignal) => Promise<Outcome>

/** Of an answer so many bytes are read, so that the connection can be used again; with more it is closed. */
const mostAnswerBytes = 16 * 1024

/** Longer than this nobody waits because the receiver asks for it. */
const mostRetryAfterMs = 12 * 3_600_000

/**
 * Posts to one URL, signed as Standard Webhooks 1.0 says, with each of the secrets (`whsec_…`). Any 2xx is success.
 * Redirects are not followed: who answers must not choose where the payload goes. Never rejects. An outcome names
 * neither the URL nor what was answered, which may be secret.
 */
export const createPost = (options: {
  url: string
  secrets: readonly string[]
  /** For the whole of an attempt. */
  timeoutMs: number
  version: string
}): Post => {
  const keys = options.secrets.map(parseWebhookSecret).filter(key => key !== null)
  return async ({ id, body }, signal) => {
    const controller = new AbortController()
    const abort = () => controller.abort()
    const end = afterListening(options.timeoutMs, abort)
    signal.addEventListener('abort', abort, { once: true })
    try {
      const response = await fetch(options.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'accept-encoding': 'identity',
          'user-agent': `Kairan/${options.version}`,
          ...signatureOf(keys, id, Math.floor(Date.now() / 1000), body),
        },
        body,
        redirect: 'manual',
        decompress: false,
        signal: controller.signal,
      })
      // The status has come. Whatever else the receiver means to say, nobody reads it.
      await finishReading(response, controller).catch(() => undefined)
      return outcomeOf(response)
    } catch (error) {
      const reason = controller.signal.aborted
        ? `no answer within ${options.timeoutMs / 1000} s`
        : `no connection: ${codeOf(error)}`
      return { sent: false, reason, retryAfterMs: null, isFinal: false }
    } finally {
      end()
      signal.removeEventListener('abort', abort)
    }
  }
}

const signatureOf = (keys: Buffer[], id: string, seconds: number, body: string) => ({
  'webhook-id': id,
  'webhook-timestamp': String(seconds),
  'webhook-signature': keys
    .map(key => createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64'))
    .map(signature => `v1,${signature}`)
    .join(' '),
})

/** Reads the answer to its end, or closes the connection: cancelling the body would read on. */
const finishReading = async ({ body }: Response, controller: AbortController) => {
  const reader = body?.getReader()
  let bytes = 0
  while (reader) {
    const { done, value } = await reader.read()
    if (done) return
    bytes += value.byteLength
    if (bytes > mostAnswerBytes) return controller.abort()
  }
}

const outcomeOf = ({ ok, status, headers }: Response): Outcome => {
  if (ok) return { sent: true }
  const why = status >= 300 && status < 400 ? ': redirects are not followed' : ''
  return {
    sent: false,
    reason: `status ${status}${why}`,
    retryAfterMs: readRetryAfter(headers.get('retry-after')),
    // Gone: the receiver says that it wants no more.
    isFinal: status === 410,
  }
}

/** Seconds, or a date. Null when there is none. */
const readRetryAfter = (value: string | null) => {
  if (value === null) return null
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), mostRetryAfterMs) : null
}

const codeOf = (error: unknown) =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code.slice(0, 100)
    : 'unknown'
