import { computed, signal } from '@preact/signals'
import type { Moment, Overview } from '../admin/admin.ts'
import { get, Refusal } from './api.ts'
import { createFigures, type Sample } from './figures.ts'
import { type Problem, problemsOf } from './problems.ts'

export type Session = { userId: string; isReadOnly: boolean }

/** The user who is signed in; null when nobody is, undefined while it is unknown. */
export const session = signal<Session | null | undefined>(undefined)
/** Why a user with a token is refused. */
export const refused = signal<string | null>(null)
export const overview = signal<Overview | null>(null)
export const samples = signal<Sample[]>([])
export const problems = signal<Problem[]>([])

/** The page that is shown, and its parameters: `#streams?user=42`. */
export const hash = signal(location.hash)
addEventListener('hashchange', () => {
  hash.value = location.hash
})
export const route = computed(() => {
  const [page = '', query = ''] = hash.value.slice(1).split('?')
  return { page: page || 'overview', query: new URLSearchParams(query) }
})

const everyMs = 2000

/**
 * Finds out who is signed in. An outage says nothing about that: then the session stays what it was, and `watch` asks
 * again.
 */
export const resume = async () => {
  try {
    session.value = await get<Session>('me')
    refused.value = null
    if (problems.value.includes(unreachable)) problems.value = []
  } catch (error) {
    if (!isRefused(error)) {
      problems.value = [unreachable]
      return
    }
    session.value = null
    problems.value = []
    refused.value = error.status === 401 ? null : error.message
  }
}

/** Whether the service has decided that this user may not look, rather than failed to decide. */
const isRefused = (error: unknown): error is Refusal =>
  error instanceof Refusal && (error.status === 401 || error.status === 403)

/** Reads the overview repeatedly while the page is visible, one request at a time. */
export const watch = async () => {
  const figures = createFigures()
  let isRecalled = false
  for (;;) {
    if (session.value === undefined) await resume()
    if (session.value && !document.hidden) {
      try {
        if (!isRecalled) {
          const { moments } = await get<{ moments: Moment[] }>('history')
          for (const moment of moments) samples.value = figures.add(moment)
          isRecalled = true
        }
        const next = await get<Overview>('overview')
        problems.value = problemsOf(next, overview.value)
        overview.value = next
        samples.value = figures.add(next)
      } catch (error) {
        if (isRefused(error)) await resume()
        else problems.value = [unreachable]
      }
    }
    await new Promise(resolve => setTimeout(resolve, everyMs))
  }
}

/** Shown while the service or its database can't be reached. */
export const unreachable: Problem = {
  what: 'The service does not answer, or cannot reach its database.',
  remedy: 'The figures below are old. GET /readyz says more. This page continues by itself.',
}
