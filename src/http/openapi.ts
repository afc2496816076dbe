import { Elysia } from 'elysia'
import { createDocument } from './openapi/document.ts'
import { renderDocument } from './openapi/page.ts'
import type { Operations } from './operation.ts'
import { serviceOperations } from './service-schema.ts'

/**
 * `GET /openapi.json` is the API in OpenAPI 3.2, the first version that can describe a stream. `GET /openapi` is the
 * same as a page.
 */
export const openapiRoutes = (
  operations: Operations,
  facts: { version: string; cookie: string; prefix: string },
) => {
  const document = createDocument(operations, facts)
  const page = renderDocument(document)
  return new Elysia({ name: 'openapi' })
    .get('/openapi.json', () => Response.json(document), {
      detail: serviceOperations['GET /openapi.json'].detail,
    })
    .get('/openapi', () => new Response(page, { headers: pageHeaders }), {
      detail: serviceOperations['GET /openapi'].detail,
    })
}

const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  'x-content-type-options': 'nosniff',
}
