import type { TestDatabase } from './database.ts'
import { tokenFor } from './service.ts'

/** Makes the user boss an admin. */
export const makeAdmin = (db: TestDatabase) => db.sql`insert into kairan.roles values ('boss', 100)`

/** Asks the admin API as a user; a body makes it a POST. Resolves with the status and what is in the JSON. */
export const ask = async (url: string, path: string, body?: object, user = 'boss') => {
  const response = await fetch(`${url}/admin/${path}`, {
    headers: {
      authorization: `Bearer ${await tokenFor(user)}`,
      'content-type': 'application/json',
    },
    ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
  })
  return { status: response.status, ...(await response.json()) }
}
