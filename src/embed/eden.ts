import type { ticketOperations } from '../auth/schema.ts'
import type { RoutesOf } from '../http/operation.ts'
import type { inboxOperations } from '../inbox/schema.ts'
import type { publishOperations } from '../publish/schema.ts'
import type { streamOperations } from '../stream/schema.ts'

export type { Problem } from '../http/problem.ts'

/** The routes that an application's own programs ask for, as Eden Treaty needs them. */
export type KairanRoutes = RoutesOf<
  typeof inboxOperations &
    typeof publishOperations &
    typeof ticketOperations &
    typeof streamOperations
>
