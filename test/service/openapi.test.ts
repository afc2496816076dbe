import { expect, test } from 'bun:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { statuses } from '../../src/lib/errors.ts'
import { database } from '../support/database.ts'
import { serve } from '../support/service.ts'

test('describes the API in OpenAPI 3.2, with every path and every code that there is', async () => {
  await using db = await database()
  await using service = await serve(db, { AUTH_COOKIE: '__Host-token' })
  const response = await fetch(`${service.url}/openapi.json`)
  const document = await response.json()
  const { valid, errors } = await new Validator().validate(document)
  expect([valid, errors]).toEqual([true, undefined])
  expect(document.openapi).toStartWith('3.2.')
  expect(document.components.securitySchemes.cookie.name).toBe('__Host-token')
  expect(document.components.schemas.Problem.properties.code.enum.toSorted()).toEqual(
    Object.keys(statuses).toSorted(),
  )
})

test('is a page for people, without anything from elsewhere', async () => {
  await using db = await database()
  await using service = await serve(db)
  const response = await fetch(`${service.url}/openapi`)
  const html = await response.text()
  const { paths } = await (await fetch(`${service.url}/openapi.json`)).json()
  for (const path of Object.keys(paths)) expect(html).toContain(`<code>${path}</code>`)
  expect(html).not.toMatch(/<script|src=|https?:\/\//)
  expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
})
