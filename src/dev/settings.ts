import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readAccess, urlOf } from './postgres/access.ts'

export const root = join(import.meta.dir, '../..')

/** Whether this is the source, and neither the binary nor the package, whose `root` would be somebody else's folder. */
export const isCheckout = import.meta.path.endsWith('/src/dev/settings.ts')

/** Where `dev` keeps its data, in the checkout. */
export const directory = join(root, '.kairan')

const secretFile = join(directory, 'jwt-secret')

/** The settings of `dev` that the environment does not set, if `dev` was started here before. */
export const devSettings = async (): Promise<{ JWT_SECRET?: string; DATABASE_URL?: string }> => {
  if (!isCheckout) return {}
  const secret = await readSecret()
  const access = await readAccess(directory)
  return {
    ...(secret === null ? {} : { JWT_SECRET: secret }),
    ...(access === null ? {} : { DATABASE_URL: urlOf(access) }),
  }
}

/** A secret that stays the same between runs, so that cookies and printed tokens stay valid. */
export const keptSecret = async () => {
  const kept = await readSecret()
  if (kept !== null) return kept
  await mkdir(directory, { recursive: true })
  const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString('base64url')
  await Bun.file(secretFile).write(`${secret}\n`)
  await chmod(secretFile, 0o600)
  return secret
}

const readSecret = async () => {
  const file = Bun.file(secretFile)
  return (await file.exists()) ? (await file.text()).trim() : null
}
