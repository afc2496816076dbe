import type { Database } from '../postgres/database.ts'

/** The key of the relay: 32 bytes that only the service can read. */
export const readRelayKey = async (database: Database): Promise<Uint8Array> => {
  const [row] = await database.run(
    sql => sql<{ key: string }[]>`select encode(key, 'hex') as key from kairan.relay_key`,
  )
  if (!row) throw new Error('kairan.relay_key is empty')
  return Buffer.from(row.key, 'hex')
}
