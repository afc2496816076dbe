import { expect, setDefaultTimeout, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { cluster } from '../support/cluster.ts'
import { description } from '../support/description.ts'
import { tokenWith } from '../support/publish.ts'
import { serve } from '../support/service.ts'

setDefaultTimeout(120_000)

const id = crypto.randomUUID()

/** A right request for each route that takes a body. */
const bodies: Record<string, object> = {
  'post /notifications': { channel: 'user-1', payload: {} },
  'post /notifications/read': { all: true },
  'post /notifications/receipts': { ids: [id] },
  'post /notifications/tickets': {},
  'post /notifications/stream/{streamId}/channels': { add: ['org-7'] },
  'post /notifications/stream/{streamId}/token': {},
}
const queries: Record<string, string> = { '/admin/explain': `?notification=${id}&user=1` }

test('while the database is away, no route answers 500, or with anything of what is inside', async () => {
  await using server = await cluster()
  await using service = await serve(server)
  const token = await tokenWith({ sub: '1', scope: 'kairan:publish' })
  await using stream = await openReady(service.url, { token })
  const { streamId } = await stream.control('ready')
  await server.stop('fast')

  const { paths } = description()
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => ({ path, method })),
  )
  expect(routes.length).toBeGreaterThan(20)
  // Of this instance, and of another.
  for (const open of [String(streamId), id]) {
    const answers = await Promise.all(
      routes.map(async ({ path, method }) => {
        const filled = path.replace('{streamId}', open).replace(/\{\w+\}/, id)
        const abort = new AbortController()
        const body = bodies[`${method} ${path}`]
        const response = await fetch(`${service.url}${filled}${queries[path] ?? ''}`, {
          method: method.toUpperCase(),
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          signal: abort.signal,
          ...(body ? { body: JSON.stringify(body) } : {}),
        })
        const isStream = response.headers.get('content-type')?.includes('event-stream')
        const text = isStream ? '' : await response.text()
        abort.abort()
        return { route: `${method} ${path}`, status: response.status, text }
      }),
    )
    expect(answers.filter(({ status }) => status === 500)).toEqual([])
    for (const { text, route } of answers) {
      if (/openapi|client/.test(route)) continue
      expect(text).not.toMatch(/ECONN|postgres:|127\.0\.0\.1|select |PostgresError/)
    }
  }
})
