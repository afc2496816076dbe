import { once } from 'node:events'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { exists } from './home.ts'

/** The server's port and password, and the process that started it. Kept between runs in a file for its owner only. */
export type Access = { port: number; password: string; startedBy: number }

// Not "kairan": the schema with the name of the user comes first in its search_path.
export const user = 'postgres'
export const database = 'kairan'

export const urlOf = ({ port, password }: Access, name = database) =>
  `postgres://${user}:${password}@127.0.0.1:${port}/${name}`

export const accessFile = (directory: string) => join(directory, 'postgres.json')

/** Null when the file is missing, or not as it was written. */
export const readAccess = async (directory: string): Promise<Access | null> => {
  const file = accessFile(directory)
  if (!(await exists(file))) return null
  const access = parseJson(await readFile(file, 'utf8'))
  return isAccess(access) ? access : null
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const isAccess = (value: unknown): value is Access => {
  if (typeof value !== 'object' || value === null) return false
  const { port, password, startedBy }: Partial<Record<keyof Access, unknown>> = value
  return typeof port === 'number' && typeof password === 'string' && typeof startedBy === 'number'
}

/** Writes the file as a whole or not at all, so that it stays readable when the start is killed. */
export const writeAccess = async (directory: string, access: Access) => {
  const file = accessFile(directory)
  await writeFile(`${file}.new`, JSON.stringify(access), { mode: 0o600 })
  await rename(`${file}.new`, file)
}

/** The port of the last run, so that connection strings stay valid; another one if it is taken. */
export const freePort = async (kept: number | undefined) => {
  for (const port of [kept, 0]) {
    if (port === undefined) continue
    const server = createServer()
    const listening = once(server.listen(port, '127.0.0.1'), 'listening').catch(() => null)
    if ((await listening) === null) continue
    const address = server.address()
    server.close()
    await once(server, 'close')
    if (typeof address === 'object' && address) return address.port
  }
  throw new Error('No port on 127.0.0.1 is free for Postgres')
}
