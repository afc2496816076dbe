import { computed, signal } from '@preact/signals'
import type { Overview } from '../admin/admin.ts'
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

/** Finds out who is signed in. */
export const resume = async () => {
  try {
    session.value = await get<Session>('me')
    refused.value = null
  } catch (error) {
    session.value = null
    const isStranger = error instanceof Refusal && error.status === 401
    refused.value = isStranger || !(error instanceof Error) ? null : error.message
  }
}

/** Reads the overview repeatedly while the page is visible, one request at a time. */
export const watch = async () => {
  const figures = createFigures()
  for (;;) {
    if (session.value && !document.hidden) {
      try {
        const next = await get<Overview>('overview')
        problems.value = problemsOf(next, overview.value)
        overview.value = next
        samples.value = figures.add(next)
      } catch (error) {
        if (error instanceof Refusal && (error.status === 401 || error.status === 403))
          await resume()
        else problems.value = [unreachable]
      }
    }
    await new Promise(resolve => setTimeout(resolve, everyMs))
  }
}

const unreachable: Problem = {
  what: 'The service does not answer, or cannot reach its database.',
  remedy: 'The figures below are old. GET /readyz says more. This page continues by itself.',
}
