import { expect, test } from 'bun:test'
import { database } from '../support/database.ts'
import { serve } from '../support/service.ts'

/** The budget of the browser client, compressed. */
const budgetBytes = 5080
/** That of the bell, with the client in it. */
const bellBudgetBytes = 9860

test('serves the browser client to pages of any origin, and not again while it is the same', async () => {
  await using db = await database()
  await using service = await serve(db, { CORS_ORIGINS: 'https://app.example.com' })
  const client = (headers: Record<string, string> = {}) =>
    fetch(`${service.url}/client.js`, { headers })

  const response = await client({ origin: 'https://elsewhere.example.com' })
  expect(response.status).toBe(200)
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': 'public, no-cache',
    'access-control-allow-origin': '*',
    'cross-origin-resource-policy': 'cross-origin',
  })
  const etag = response.headers.get('etag') ?? ''
  expect((await client({ 'if-none-match': etag })).status).toBe(304)
  expect((await client({ 'if-none-match': `"other", W/${etag}` })).status).toBe(304)
  expect((await client({ 'if-none-match': '"other"' })).status).toBe(200)

  // One of CORS_ORIGINS is named, as it may send cookies: never both at once.
  const listed = await client({ origin: 'https://app.example.com' })
  expect(listed.headers.get('access-control-allow-origin')).toMatch(
    /^(\*|https:\/\/app\.example\.com)$/,
  )
  const hooks = await fetch(`${service.url}/client/react.js`)
  expect(await hooks.text()).toContain('from"react"')
})

test('the client fits its budget, and imports nothing', async () => {
  await using db = await database()
  await using service = await serve(db)
  const text = await (await fetch(`${service.url}/client.js`)).text()
  const bytes = Bun.gzipSync(Buffer.from(text), { level: 9 }).length
  console.log(`client.js: ${bytes} bytes compressed, ${text.length} before`)
  expect(bytes).toBeLessThanOrEqual(budgetBytes)
  expect(text).not.toMatch(/\bimport\b/)
  expect(text).toContain('createNotifications')
})

test('the bell fits its budget with the client in it, and imports nothing', async () => {
  await using db = await database()
  await using service = await serve(db)
  const text = await (await fetch(`${service.url}/client/element.js`)).text()
  const bytes = Bun.gzipSync(Buffer.from(text), { level: 9 }).length
  console.log(`element.js: ${bytes} bytes compressed`)
  expect(bytes).toBeLessThanOrEqual(bellBudgetBytes)
  expect(text).not.toMatch(/\bimport\b/)
})
