/** Compares the answers and stream items that a test receives with the description of the API. */
import Ajv2020, { type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { description } from './description.ts'

const document = description()
const ajv = formats(new Ajv2020({ strict: false, allErrors: true }))
ajv.addSchema(document, 'openapi')

/** The differences since the last call of `takeWrong`. */
const wrong: string[] = []

const paths = Object.keys(document.paths).map(path => ({
  path,
  pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`),
}))

const validators = new Map<string, ValidateFunction>()

/** The validator of the schema at this place of the document. */
const at = (...place: string[]) => {
  const pointer = place
    .map(part => part.replaceAll('~', '~0').replaceAll('/', '~1'))
    .map(encodeURIComponent)
  const ref = `openapi#/${pointer.join('/')}`
  const known = validators.get(ref) ?? ajv.compile({ $ref: ref })
  validators.set(ref, known)
  return known
}

const describeWrong = (what: string, validate: ValidateFunction, data: unknown) =>
  wrong.push(`${what}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(data).slice(0, 500)}`)

/** Compares an answer with its description. `takeWrong` returns the differences. */
const check = async (method: string, pathname: string, response: Response) => {
  const found = paths.find(({ pattern }) => pattern.test(pathname))
  const operation = found && document.paths[found.path]?.[method.toLowerCase()]
  // Bun itself answers headers that are too large.
  if (!found || !operation || response.status === 431) return
  const what = `${method} ${found.path} ${response.status}`
  const type = response.headers.get('content-type')?.split(';')[0] ?? ''
  if (type === 'application/problem+json') {
    if (!operation.responses[response.status] && !operation.responses.default) {
      wrong.push(`${what} is not described`)
    }
    const validate = at('components', 'schemas', 'Problem')
    const body: unknown = await response.json()
    if (!validate(body)) describeWrong(what, validate, body)
    return
  }
  const described = operation.responses[response.status]
  if (!described) return wrong.push(`${what} is not described`)
  if (response.status === 304) return
  const content = described.content ?? {}
  if (type !== '' && !(type in content)) return wrong.push(`${what} ${type} is not described`)
  if (type !== 'application/json') return
  const body: unknown = await response.json()
  const place = ['paths', found.path, method.toLowerCase(), 'responses', `${response.status}`]
  const validate = at(...place, 'content', type, 'schema')
  if (!validate(body)) describeWrong(what, validate, body)
}

/** Compares an item of a stream with the description. */
export const checkItem = (item: { id?: string | undefined; event: string; data: string }) => {
  const schemas = { message: 'Event', control: 'Control' } as Record<string, string>
  const schema = schemas[item.event]
  if (schema === undefined) {
    if (item.event !== 'ping') wrong.push(`the stream has an event ${item.event}`)
    return
  }
  const validate = at('components', 'schemas', schema)
  const data: unknown = JSON.parse(item.data)
  if (!validate(data)) describeWrong(`the stream's ${item.event}`, validate, data)
}

const plainFetch = globalThis.fetch
const checking = new Set<Promise<unknown>>()

/** A `fetch` that checks the answers of Kairan's paths on 127.0.0.1. */
const describedFetch = async (input: string | URL | Request, init?: RequestInit) => {
  const response = await plainFetch(input, init)
  const url = new URL(input instanceof Request ? input.url : input)
  if (url.hostname !== '127.0.0.1' && url.hostname !== 'localhost') return response
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
  const method = init?.method ?? (input instanceof Request ? input.method : 'GET')
  // The body of a stream does not end.
  const copy = isStream ? new Response(null, response) : response.clone()
  const work = check(method, url.pathname, copy).finally(() => checking.delete(work))
  checking.add(work)
  return response
}

/** Replaces `fetch` by one that checks each answer. */
export const describeFetch = () => {
  globalThis.fetch = Object.assign(describedFetch, { preconnect: plainFetch.preconnect })
}

/** Resolves with the differences since the last call, when all answers have been checked. */
export const takeWrong = async () => {
  await Promise.all(checking)
  return wrong.splice(0)
}
