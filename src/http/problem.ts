import { type Code, KairanError } from '../lib/errors.ts'
import { uncached } from './answer.ts'

/** What every refusal is answered with (RFC 9457), with a code that programs can test. */
export type Problem = {
  type: 'about:blank'
  title: string
  status: number
  code: Code
  detail: string
}

/** An error as the members of a problem (RFC 9457), with Kairan's `code`. */
export const problemOf = (error: KairanError): Problem => ({
  type: 'about:blank',
  title: titles[error.status] ?? 'Error',
  status: error.status,
  code: error.code,
  detail: error.message,
})

/** An error as `application/problem+json`. */
export const problem = (error: KairanError) =>
  new Response(JSON.stringify(problemOf(error)), {
    status: error.status,
    headers: {
      'content-type': 'application/problem+json',
      ...uncached,
      ...(error.status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
      ...(error.retryAfter === undefined ? {} : { 'retry-after': String(error.retryAfter) }),
    },
  })

/**
 * Maps an error that a route threw. Only Kairan's own messages leave the process: those of the database and of the
 * runtime may contain SQL, hosts or values.
 */
export const toKairanError = (elysiaCode: string | number, error: unknown) => {
  if (error instanceof KairanError) return error
  // Elysia wraps an error that is thrown while a body is read.
  if (error instanceof Error && error.cause instanceof KairanError) return error.cause
  const known = elysiaErrors[elysiaCode]
  return known
    ? new KairanError(...known)
    : new KairanError('internal', 'The service failed. Its log has the reason.')
}

const elysiaErrors: Record<string, [Code, string]> = {
  NOT_FOUND: ['not_found', 'This address does not exist.'],
  PARSE: ['bad_request', 'The body cannot be read. Send JSON with its Content-Type.'],
  VALIDATION: ['unprocessable', 'The request does not have the form that this address accepts.'],
  INVALID_COOKIE_SIGNATURE: ['bad_request', 'A cookie is not valid.'],
  INVALID_FILE_TYPE: ['bad_request', 'This address does not accept a body of this type.'],
}

const titles: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}
