import { isObject } from '../../lib/json.ts'
import type { Operations } from '../operation.ts'
import yaml from './openapi.yaml'

/** The parts of an OpenAPI document that this service uses. */
export type Document = {
  openapi: string
  info: { title: string; summary: string; description: string; version: string }
  servers: { url: string }[]
  paths: Record<string, Record<string, DescribedOperation>>
  components: { schemas: Record<string, object>; securitySchemes: Record<string, object> }
}

export type DescribedOperation = {
  tags: string[]
  summary: string
  description?: string
  parameters?: { name: string; in: string; description?: string }[]
  requestBody?: { content: Record<string, unknown> }
  responses: Record<string, Answer>
}

type Answer = { description?: string; $ref?: string; content?: Record<string, unknown> }

/**
 * The description of the API: of these operations, with this version, the configured name of the cookie, and what all
 * paths begin with.
 */
export const createDocument = (
  operations: Operations,
  facts: { version: string; cookie: string; prefix: string },
): Document => {
  const document = structuredClone(yaml)
  if (facts.prefix !== '') document.servers = [{ url: facts.prefix }]
  document.info.version = facts.version
  document.components.securitySchemes.cookie = { type: 'apiKey', in: 'cookie', name: facts.cookie }
  const { schemas } = document.components
  for (const [route, { detail }] of Object.entries(operations)) {
    const [method = '', path = ''] = route.split(' ')
    const described = path.replace(/:(\w+)/g, '{$1}')
    document.paths[described] = {
      ...document.paths[described],
      [method.toLowerCase()]: byName(detail, schemas),
    }
  }
  return document
}

/** Puts schemas that have a name among the components, where a program that is generated gets a type for each. */
const byName = (value: unknown, schemas: Record<string, object>): unknown => {
  if (Array.isArray(value)) return value.map(item => byName(item, schemas))
  if (!isObject(value)) return value
  const { $id, ...members } = value
  const named = Object.fromEntries(
    Object.entries(members).map(([name, member]) => [name, byName(member, schemas)]),
  )
  if (typeof $id !== 'string') return named
  schemas[$id] = named
  return { $ref: `#/components/schemas/${$id}` }
}
