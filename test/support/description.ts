import { described } from '../../src/described.ts'
import { createDocument } from '../../src/http/openapi/document.ts'

/** The description of the API, as /openapi.json has it. */
export const description = () =>
  createDocument(described, { version: '0', cookie: 'kairan_token', prefix: '' })

type Values = { const?: string; enum?: string[] }

/** The types of control events, and the reasons that each has. */
export const controls = (): { types: string[]; reasons: string[] }[] => {
  const { Control = {} } = description().components.schemas
  const each: { properties: { type: Values; reason?: Values } }[] = Reflect.get(Control, 'anyOf')
  return each.map(({ properties: { type, reason } }) => ({
    types: type.enum ?? [type.const ?? ''],
    reasons: reason?.enum ?? [],
  }))
}

/** The reasons of a control event. */
export const reasonsOf = (type: string) =>
  controls().find(({ types }) => types.includes(type))?.reasons ?? []
