/** The codes of Kairan's errors, which programs can test, with their HTTP statuses. */
export const statuses = {
  bad_request: 400,
  bad_channels: 400,
  too_many_channels: 400,
  bad_cursor: 400,
  bad_notification: 400,
  token_missing: 401,
  token_invalid: 401,
  token_expired: 401,
  ticket_invalid: 401,
  channel_forbidden: 403,
  origin_forbidden: 403,
  scope_missing: 403,
  admin_only: 403,
  read_only: 403,
  not_found: 404,
  stream_not_found: 404,
  notification_not_found: 404,
  body_too_large: 413,
  payload_too_large: 413,
  url_too_long: 414,
  unsupported_media_type: 415,
  host_forbidden: 421,
  unprocessable: 422,
  dedupe_key_reused: 422,
  rate_limited: 429,
  internal: 500,
  auth_unavailable: 503,
  unavailable: 503,
} as const

export type Code = keyof typeof statuses

/** An error whose message is for the client: what was wrong, and what to do. */
export class KairanError extends Error {
  override readonly name = 'KairanError'
  readonly code: Code
  readonly status: number
  /** After how many seconds the client may try again; undefined when that would not help. */
  readonly retryAfter: number | undefined

  /** The `cause` is for the log only. */
  constructor(code: Code, message: string, options: { retryAfter?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.status = statuses[code]
    this.retryAfter = options.retryAfter
  }
}

/** The message of a thrown value, for the log. */
export const messageOf = (thrown: unknown) =>
  thrown instanceof Error ? thrown.message || thrown.name : String(thrown)
