import { isObject } from '../../lib/json.ts'
import type { Operations } from '../operation.ts'
import { problemSchema } from '../shapes.ts'

/** The parts of an OpenAPI document that this service uses. */
export type Document = {
  openapi: string
  info: { title: string; summary: string; description: string; version: string; license: object }
  servers: { url: string }[]
  security: object[]
  tags: { name: string }[]
  paths: Record<string, Record<string, DescribedOperation>>
  components: {
    securitySchemes: Record<string, object>
    responses: Record<string, object>
    schemas: Record<string, object>
  }
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
  const schemas: Record<string, object> = {}
  const paths: Document['paths'] = {}
  for (const [route, { detail }] of Object.entries(operations)) {
    const [method = '', path = ''] = route.split(' ')
    const described = path.replace(/:(\w+)/g, '{$1}')
    const operation = { [method.toLowerCase()]: byName(detail, schemas) }
    paths[described] = Object.assign(paths[described] ?? {}, operation)
  }
  return {
    openapi: '3.2.0',
    info: {
      title: 'Kairan',
      summary:
        'Insert a row in Postgres, and it reaches the right browsers over Server-Sent Events.',
      description:
        "Identity is a JWT whose `sub` is the user's id: as `Authorization: Bearer`, in a cookie (its name is the setting `AUTH_COOKIE`), or, for the stream, as a one-time `?ticket=`. Errors are problems (RFC 9457) with a `code`.",
      version: facts.version,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: facts.prefix || '/' }],
    security: [{ bearer: [] }, { cookie: [] }],
    tags: tags.map(name => ({ name })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        cookie: { type: 'apiKey', in: 'cookie', name: facts.cookie },
        ticket: { type: 'apiKey', in: 'query', name: 'ticket' },
      },
      responses: { Problem: Object.assign(byName(problemAnswer, schemas) ?? {}) },
      schemas,
    },
  }
}

const tags = ['Streams', 'Inbox', 'Publishing', 'Administration', 'Operating']

const problemAnswer = {
  description: 'The error, and what to do.',
  headers: {
    'Retry-After': {
      description: 'After how many seconds to try again, if that is known.',
      schema: { type: 'integer' },
    },
  },
  content: { 'application/problem+json': { schema: problemSchema } },
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
