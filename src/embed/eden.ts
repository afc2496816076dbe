import type { RoutesOf } from '../http/operation.ts'
import type { Problem } from '../http/problem.ts'
import type { inboxOperations } from '../inbox/schema.ts'

/** The routes that an application's own programs ask for, as Eden Treaty needs them. */
export type KairanRoutes = RoutesOf<typeof inboxOperations> & {
  notifications: {
    post: Route<{ body: PublishBody; answers: { 200: { id: string }; 201: { id: string } } }>
    tickets: {
      post: Route<{
        body: { channels?: readonly string[] } | undefined
        answers: { 201: { ticket: string; expiresAt: string } }
      }>
    }
    stream: {
      ':id': {
        channels: {
          post: Route<{
            body: { add?: readonly string[]; remove?: readonly string[] }
            params: { id: string }
            answers: { 200: { channels: string[] } }
          }>
        }
        token: { post: Route<{ params: { id: string }; answers: { 200: { expiresAt: string } } }> }
      }
    }
  }
}

export type { Problem } from '../http/problem.ts'

/** What `POST /notifications` takes. */
export type PublishBody = {
  channel?: string
  channels?: readonly string[]
  payload: object
  type?: string | null
  dedupeKey?: string | null
  expiresAt?: string | null
}

type Route<Shape extends { answers: object; body?: unknown; query?: unknown; params?: unknown }> = {
  body: 'body' extends keyof Shape ? Shape['body'] : unknown
  query: 'query' extends keyof Shape ? Shape['query'] : unknown
  params: 'params' extends keyof Shape ? Shape['params'] : Record<never, string>
  headers: unknown
  response: Shape['answers'] & { [Status in 400 | 401 | 403 | 404 | 429 | 503]: Problem }
}
