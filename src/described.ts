import { adminOperations } from './admin/schema.ts'
import { ticketOperations } from './auth/schema.ts'
import type { Operations } from './http/operation.ts'
import { clientOperations, serviceOperations } from './http/service-schema.ts'
import { inboxOperations } from './inbox/schema.ts'
import { publishOperations } from './publish/schema.ts'
import { streamOperations } from './stream/schema.ts'

/** What the routes read and answer: the description of the API and the types of Eden Treaty are made of it. */
export const described: Operations = {
  ...streamOperations,
  ...ticketOperations,
  ...inboxOperations,
  ...publishOperations,
  ...adminOperations,
  ...clientOperations,
  ...serviceOperations,
}
