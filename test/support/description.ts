import { described } from '../../src/described.ts'
import { createDocument } from '../../src/http/openapi/document.ts'

/** The description of the API, as /openapi.json has it. */
export const description = () =>
  createDocument(described, { version: '0', cookie: 'kairan_token', prefix: '' })
