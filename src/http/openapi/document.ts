import yaml from './openapi.yaml'

/** The parts of an OpenAPI document that this service uses. */
export type Document = {
  openapi: string
  info: { title: string; summary: string; description: string; version: string }
  servers: { url: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, object>; securitySchemes: Record<string, object> }
}

export type Operation = {
  tags: string[]
  summary: string
  description?: string
  parameters?: { name: string; in: string; description?: string }[]
  requestBody?: { content: Record<string, unknown> }
  responses: Record<string, Answer>
}

type Answer = { description?: string; $ref?: string; content?: Record<string, unknown> }

/** The description of the API, with this version, the configured name of the cookie, and what all paths begin with. */
export const createDocument = (version: string, cookie: string, prefix = ''): Document => {
  const document = structuredClone(yaml)
  if (prefix !== '') document.servers = [{ url: prefix }]
  document.info.version = version
  document.components.securitySchemes.cookie = { type: 'apiKey', in: 'cookie', name: cookie }
  return document
}
