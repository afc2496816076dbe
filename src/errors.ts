/** Why Kairan refused something. Each has its HTTP status and a code that programs can test. */
const statuses = {
  bad_request: 400,
  bad_channels: 400,
  bad_cursor: 400,
  token_missing: 401,
  token_invalid: 401,
  token_expired: 401,
  channel_forbidden: 403,
  origin_forbidden: 403,
  not_found: 404,
  body_too_large: 413,
  unprocessable: 422,
  internal: 500,
} as const

export type Code = keyof typeof statuses

/** An error whose message is meant for whoever made the request: what was wrong, and what to do. */
export class KairanError extends Error {
  override readonly name = 'KairanError'
  readonly code: Code
  readonly status: number

  constructor(code: Code, message: string) {
    super(message)
    this.code = code
    this.status = statuses[code]
  }
}

/** The message of whatever was thrown, for a log line. */
export const messageOf = (thrown: unknown) =>
  thrown instanceof Error ? thrown.message || thrown.name : String(thrown)
