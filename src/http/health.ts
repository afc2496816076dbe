import { Elysia } from 'elysia'
import { answer } from './answer.ts'

/**
 * `GET /livez` says that the process answers. It does not depend on the database, because a restart would not
 * bring that back. `GET /readyz` says whether this instance should get traffic.
 *
 * `reasons` may name hosts and quote SQL after a colon: that is for the log and for admins. Anybody can ask
 * `/readyz`, so it answers with fixed words.
 */
export const healthRoutes = (reasons: () => string[]) =>
  new Elysia({ name: 'health' })
    .get('/livez', () => answer({ status: 'ok' }))
    .get('/readyz', () => {
      const problems = reasons().map(publicReason)
      return problems.length === 0
        ? answer({ status: 'ok' })
        : answer({ status: 'unavailable', reasons: problems }, { status: 503 })
    })

const publicReason = (reason: string) => {
  const [part = ''] = reason.split(':')
  return words[part] ?? 'not ready'
}

const words: Record<string, string> = {
  starting: 'starting',
  draining: 'draining',
  database: 'database: the log can not be used now',
  listen: 'listen: no NOTIFY arrives',
}
