import { inboxOperations } from './inbox/schema.ts'

/** What the routes read and answer: the description of the API and the types of Eden Treaty are made of it. */
export const described = {
  ...inboxOperations,
}
