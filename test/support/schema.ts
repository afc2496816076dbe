import { migrate } from '../../src/postgres/migrate.ts'
import { database } from './database.ts'

/** A new database with the schema kairan, and no service. */
export const migrated = async () => {
  const db = await database()
  await migrate(db.url)
  return db
}
