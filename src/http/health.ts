import { Elysia } from 'elysia'
import { answer } from './answer.ts'

/**
 * `GET /livez` says that the process answers; it never fails because the database is away: restarting
 * would not bring that back. `GET /readyz` says whether this instance should get traffic.
 */
export const healthRoutes = (reasons: () => string[]) =>
  new Elysia({ name: 'health' })
    .get('/livez', () => answer({ status: 'ok' }))
    .get('/readyz', () => {
      const problems = reasons()
      const ready = problems.length === 0
      return answer(ready ? { status: 'ok' } : { status: 'unavailable', reasons: problems }, {
        status: ready ? 200 : 503,
      })
    })
