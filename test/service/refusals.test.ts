import { expect, test } from 'bun:test'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { isReady } from '../support/process.ts'
import { badBodies } from '../support/refusals/bodies.ts'
import { badStreams } from '../support/refusals/streams.ts'
import { badTokens } from '../support/refusals/tokens.ts'
import { serve } from '../support/service.ts'

test('refuses bad input with a status and a code, and says nothing of what is inside', async () => {
  await using db = await database()
  await using service = await serve(db)
  const cases = [...(await badTokens()), ...(await badStreams(service.url)), ...(await badBodies())]
  expect(cases.length).toBeGreaterThan(100)

  for (const [what, { path, ...request }, status, code] of cases) {
    const answer = await fetch(service.url + path, request)
    const text = await answer.text()
    const problem: { code?: string } = JSON.parse(text)
    expect([what, answer.status, problem.code]).toEqual([what, status, code])
    expect(problem).toMatchObject({ status, title: expect.any(String), detail: expect.any(String) })
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(text).not.toMatch(
      /kairan\.|PostgresError|SQLSTATE|select |\.ts\b|node_modules|\bat .*:\d+|jose|JWS/,
    )
    expect(text.length).toBeLessThan(2000)
  }

  expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
  expect(await db.sql`select from kairan.notifications`).toHaveLength(0)
  await eventually(() => isReady(service.url))
  await eventually(() => service.service.streams === 0)
})
