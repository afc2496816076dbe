import { database } from './database.ts'

/** A new database with the schema kairan, and no service. */
export const migrated = () => database()
