import { Elysia } from 'elysia'
import { answer } from './answer.ts'
import { otherReason, publicNotes, publicReasons, serviceOperations } from './service-schema.ts'

/**
 * `GET /livez` says that the process answers. It does not depend on the database, because a restart would not
 * bring that back. `GET /readyz` says whether this instance should get traffic.
 *
 * `reasons` may name hosts and quote SQL after a colon: that is for the log and for admins. Anybody can ask
 * `/readyz`, so it answers with fixed words. So are `notes`: what does not work, but is not needed.
 */
export const healthRoutes = (reasons: () => string[], notes: () => string[]) =>
  new Elysia({ name: 'health' })
    .get('/livez', () => answer({ status: 'ok' }), {
      detail: serviceOperations['GET /livez'].detail,
    })
    .get(
      '/readyz',
      () => {
        const problems = reasons().map(publicReason)
        return problems.length === 0
          ? answer({ status: 'ok', ...noted(notes().map(publicNote)) })
          : answer({ status: 'unavailable', reasons: problems }, { status: 503 })
      },
      { detail: serviceOperations['GET /readyz'].detail },
    )

const noted = (notes: string[]) => (notes.length === 0 ? {} : { notes })

const publicReason = (reason: string) => publicReasons[subjectOf(reason)] ?? otherReason

const publicNote = (note: string) => publicNotes[subjectOf(note)] ?? otherReason

const subjectOf = (text: string) => text.split(':')[0] ?? ''
