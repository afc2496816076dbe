import { KairanError } from '../lib/errors.ts'

/**
 * The text of a body of at most `limit` bytes. Throws `body_too_large` as soon as it is known to be
 * larger, or `bad_request` when it is not UTF-8 or cut off. Bun's own limit would answer without a word,
 * and a body that nobody reads takes no memory.
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
    // It is not UTF-8, or its sender has left: whoever that is, nothing is wrong here.
    throw new KairanError('bad_request', 'The body is not UTF-8, or was cut off.', { cause })
  }
}

/** Reads a body that has to be JSON, with its Content-Type. Throws as `readText` and `parseJson` do. */
export const readJson = async (request: Request, limit: number): Promise<unknown> => {
  const text = await readText(request, limit)
  if (mediaTypeOf(request) === 'application/json') return parseJson(text)
  throw unsupportedMediaType('application/json')
}

/** Reads JSON. Throws `bad_request` when it is none. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new KairanError('bad_request', 'The body is not JSON.', { cause })
  }
}

/** The media type of a body, without its parameters. */
export const mediaTypeOf = (request: Request) =>
  (request.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? ''

export const unsupportedMediaType = (taken: string) =>
  new KairanError('unsupported_media_type', `The Content-Type of the body has to be ${taken}.`)
