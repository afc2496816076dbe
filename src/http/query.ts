import { excerpt } from '../lib/characters.ts'
import { KairanError } from '../lib/errors.ts'
import { parseTimeOrDay } from '../lib/time.ts'
import { type Schema, t, whole } from './schema.ts'

/**
 * Reads one parameter from the values that were given for it: none when it is absent. Throws `bad_request` with
 * the name, the value and what to send instead. Its schema, of the type that programs send, describes it.
 */
export type Parameter<T, Sent = unknown> = ((values: readonly string[], name: string) => T) & {
  schema: Schema<Sent>
  isRequired?: boolean
}

const parameter = <T, Sent>(
  schema: Schema<Sent>,
  read: (values: readonly string[], name: string) => T,
): Parameter<T, Sent> => Object.assign(read, { schema })

export type Parameters = Record<string, Parameter<unknown>>

export type Values<P extends Parameters> = { [Name in keyof P]: ReturnType<P[Name]> }

/**
 * Reads the parameters of a request's query. Members that are no parameters are ignored: proxies, mail programs
 * and other sites add their own. Throws `bad_request`.
 */
export const readQuery = <P extends Parameters>(request: Request, parameters: P): Values<P> => {
  // Not by URL: without a Host header Bun gives a path, which is no URL.
  const query = /\?([^#]*)/.exec(request.url)?.[1] ?? ''
  const fields = parseFields(query, name => Object.hasOwn(parameters, name))
  return readValues(parameters, name => fields.getAll(name))
}

/** Reads each parameter from the values that `valuesOf` returns for its name. Throws `bad_request`. */
export const readValues = <P extends Parameters>(
  parameters: P,
  valuesOf: (name: string) => readonly string[],
): Values<P> =>
  Object.fromEntries(
    Object.entries(parameters).map(([name, read]) => [name, read(valuesOf(name), name)]),
  ) as Values<P>

/** A parameter that may be absent. `what` completes the sentence "type has to be …". */
export const optional = <T extends string>(
  isValid: (value: string) => value is T,
  what: string,
): Parameter<T | null, string> =>
  parameter(t.String({ description: sentence(what) }), (values, name) => {
    const value = only(values, name)
    if (value === null || isValid(value)) return value
    throw wrong(name, value, what)
  })

/** As `optional`, for a parameter that may not be absent. */
export const required = <T extends string>(
  isValid: (value: string) => value is T,
  what: string,
): Parameter<T, string> => {
  const read = optional(isValid, what)
  const needed = parameter(read.schema, (values, name) => {
    const value = read(values, name)
    if (value !== null) return value
    throw new KairanError('bad_request', `${name} is missing: it has to be ${what}.`)
  })
  return Object.assign(needed, { isRequired: true })
}

/** A parameter that is given at most once, read by `read`; null when it is absent. */
export const single = <T>(
  read: (value: string) => T,
  description: string,
): Parameter<T | null, string> =>
  parameter(t.String({ description }), (values, name) => {
    const value = only(values, name)
    return value === null ? null : read(value)
  })

/** A parameter that may be given several times, read by `read`; null when it is absent. */
export const several = <T>(
  read: (values: readonly string[]) => T,
  description: string,
): Parameter<T | null, string | readonly string[]> =>
  parameter(t.Unsafe<string | readonly string[]>({ type: 'string', description }), values =>
    values.length === 0 ? null : read(values),
  )

/** Where an earlier page ended: an empty value is the beginning, as an absent one is. */
export const position = <T>(read: Parameter<T | null, string>): Parameter<T | null, string> =>
  parameter(read.schema, (values, name) =>
    values.length === 1 && values[0] === '' ? null : read(values, name),
  )

/** A whole number within these bounds. */
export const wholeNumber = (
  least: number,
  most: number,
  fallback: number,
): Parameter<number, number> =>
  parameter(whole({ minimum: least, maximum: most, default: fallback }), (values, name) => {
    const value = only(values, name)
    if (value === null) return fallback
    const number = Number(value)
    if (/^\d{1,15}$/.test(value) && number >= least && number <= most) return number
    throw wrong(name, value, `a whole number from ${least} to ${most}`)
  })

/** `true` or `false`; absent, it is false. */
export const flag = (description: string): Parameter<boolean, boolean> =>
  parameter(t.Boolean({ description, default: false }), (values, name) => {
    const value = only(values, name)
    if (value === null || value === 'false') return false
    if (value === 'true') return true
    throw wrong(name, value, 'true or false')
  })

const timeForm = 'a day or a time with its zone, like 2030-01-31 or 2030-01-31T12:00:00Z'

/** A time in UTC, as ISO 8601; a day alone is its midnight. */
export const time: Parameter<string | null, string> = parameter(
  t.String({ description: sentence(timeForm) }),
  (values, name) => {
    const value = only(values, name)
    if (value === null) return null
    const found = parseTimeOrDay(value)
    if (found !== null) return found
    throw wrong(name, value, timeForm)
  },
)

/** One to `most` different items, separated by commas or given several times; null when it is absent. */
export const list = (
  isValid: (item: string) => boolean,
  most: number,
  what: string,
): Parameter<string[] | null, string | readonly string[]> => {
  const form = `1 to ${most} of these, separated by commas: ${what}`
  const schema = t.Unsafe<string | readonly string[]>({
    type: 'string',
    description: sentence(form),
  })
  return parameter(schema, (values, name) => {
    if (values.length === 0) return null
    const names = values.flatMap(value => value.split(',')).map(item => item.trim())
    const items = [...new Set(names)].filter(Boolean)
    const bad = items.find(item => !isValid(item))
    if (items.length >= 1 && items.length <= most && bad === undefined) return items
    throw wrong(name, bad ?? values.join(), form)
  })
}

function sentence(form: string) {
  return `${form.charAt(0).toUpperCase()}${form.slice(1)}.`
}

const only = (values: readonly string[], name: string) => {
  const [value = null, ...others] = values
  if (others.length === 0) return value
  throw new KairanError(
    'bad_request',
    `${name} is given ${values.length} times, as ${values.slice(0, 3).map(excerpt).join(', ')}. Send it once.`,
  )
}

const wrong = (name: string, value: string, what: string) =>
  new KairanError(
    'bad_request',
    value === ''
      ? `${name} is empty: leave it out, or send ${what}.`
      : `${name} has to be ${what}, not ${excerpt(value)}.`,
  )

/**
 * Reads a query or a form: names and values, decoded. Throws `bad_request` for a value of these names that is no UTF-8.
 */
export const parseFields = (text: string, isOurs: (name: string) => boolean = () => true) => {
  const fields = new URLSearchParams(text)
  for (const field of text.split('&')) {
    if (isUtf8(field)) continue
    const [name = ''] = [...new URLSearchParams(field).keys()]
    if (isOurs(name)) {
      throw new KairanError(
        'bad_request',
        `${name.slice(0, 50)} is not UTF-8: ${excerpt(field)}. Encode it as encodeURIComponent does.`,
      )
    }
  }
  return fields
}

/** Whether all escapes are UTF-8. URLSearchParams would put U+FFFD in the place of those that are not. */
const isUtf8 = (text: string) => {
  try {
    for (const [escapes] of text.matchAll(/(?:%[0-9a-f]{2})+/gi)) decodeURIComponent(escapes)
    return true
  } catch {
    return false
  }
}
