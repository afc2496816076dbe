import { excerpt } from '../lib/characters.ts'
import { KairanError } from '../lib/errors.ts'
import { isObject } from '../lib/json.ts'
import { type Parameters, readValues, type Values } from './query.ts'

/**
 * Reads the text of a body of at most `limit` bytes. Throws `body_too_large` as soon as it is known to be
 * larger, and `bad_request` when it is not UTF-8 or was cut off. Bun's own limit would answer without a body,
 * and a body that no route reads takes no memory.
 */
export const readText = async (request: Request, limit: number): Promise<string> => {
  const tooLarge = () =>
    new KairanError('body_too_large', `The body has more than the ${limit} bytes that are allowed.`)
  if (Number(request.headers.get('content-length')) > limit) throw tooLarge()
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of request.body ?? []) {
      bytes += chunk.byteLength
      if (bytes > limit) throw tooLarge()
      chunks.push(chunk)
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch (cause) {
    if (cause instanceof KairanError) throw cause
    // It is not UTF-8, or its sender has disconnected. Neither is a fault of this service.
    throw new KairanError('bad_request', 'The body is not UTF-8, or was cut off.', { cause })
  }
}

/**
 * Reads a body that has to be a JSON object, with its Content-Type. Throws as `readText` and `parseJson` do, and
 * `unsupported_media_type`.
 */
export const readObject = async (request: Request, limit: number): Promise<JsonObject> => {
  const text = await readText(request, limit)
  requireJson(request)
  return toObject(text)
}

/** As `readObject`; an empty body, of whatever Content-Type, is an empty object. */
export const readOptionalObject = async (request: Request, limit: number): Promise<JsonObject> => {
  const text = await readText(request, limit)
  if (text === '') return { text, object: {} }
  requireJson(request)
  return toObject(text)
}

/** A JSON object, and the text that it was read from: numbers keep all their digits there. */
export type JsonObject = { text: string; object: Record<string, unknown> }

const toObject = (text: string): JsonObject => {
  const object = parseJson(text)
  if (isObject(object)) return { text, object }
  throw new KairanError('bad_request', `The body has to be a JSON object, not ${excerpt(object)}.`)
}

const requireJson = (request: Request) => {
  if (mediaTypeOf(request) !== 'application/json') throw unsupportedMediaType('application/json')
}

/**
 * Throws `bad_request` for a member that is none of these: a mistyped filter would not narrow what a request
 * changes.
 */
export const requireMembers = (object: Record<string, unknown>, names: readonly string[]) => {
  const unknown = Object.keys(object).find(name => !names.includes(name))
  if (unknown === undefined) return
  throw new KairanError(
    'bad_request',
    `The body has a member ${excerpt(unknown)}. Send ${names.join(', ') || 'none'}.`,
  )
}

/** Reads the members of a body as `readQuery` reads a query: null is absent. Throws `bad_request`. */
export const readMembers = <P extends Parameters>(
  object: Record<string, unknown>,
  parameters: P,
): Values<P> => {
  requireMembers(object, Object.keys(parameters))
  return readValues(parameters, name => {
    const value = object[name] ?? null
    if (value === null) return []
    if (typeof value === 'string' || typeof value === 'number') return [String(value)]
    throw new KairanError(
      'bad_request',
      `${name} has to be a string or a number, not ${excerpt(value)}.`,
    )
  })
}

/** Reads JSON. Throws `bad_request` when it is none. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new KairanError('bad_request', `The body is not JSON: ${excerpt(text)}.`, { cause })
  }
}

/** The media type of a body, without its parameters. */
export const mediaTypeOf = (request: Request) =>
  (request.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? ''

/** The error for a body of another type than `expected`. */
export const unsupportedMediaType = (expected: string) =>
  new KairanError('unsupported_media_type', `The Content-Type of the body has to be ${expected}.`)
