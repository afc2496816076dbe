import { parseArgs } from 'node:util'
import { createAuth } from '../auth/auth.ts'
import { isUserId } from '../auth/channels.ts'
import { parseDuration } from '../lib/duration.ts'

export const tokenUsage =
  'Usage: kairan token --sub 42 [--scope kairan:publish] [--expires 1h] [--claim name=json …]'

/**
 * The command `kairan token`: makes a token of a user, signed with the first of these secrets. Throws an Error whose
 * message says what is wrong with the options.
 */
export const makeToken = async (
  options: string[],
  signing: { secrets: string[]; issuer: string | null; audience: string | null },
): Promise<string> => {
  const { sub, scope, expires = '1h', claim = [] } = parse(options)
  if (!isUserId(sub)) {
    throw new Error(
      `--sub has to be a user id: 1 to 200 characters without spaces, commas and control characters.\n${tokenUsage}`,
    )
  }
  const ms = parseDuration(expires)
  if (!(ms >= 1000)) {
    throw new Error(`--expires "${expires}" has to be a time like 90s, 15m, 12h or 7d.`)
  }
  const claims = Object.fromEntries(claim.map(parseClaim))
  const auth = createAuth({ ...signing, cookie: '' })
  return auth.sign(sub, ms / 1000, { ...claims, ...(scope === undefined ? {} : { scope }) })
}

const parse = (options: string[]) => {
  try {
    return parseArgs({
      args: options,
      options: {
        sub: { type: 'string' },
        scope: { type: 'string' },
        expires: { type: 'string' },
        claim: { type: 'string', multiple: true },
      },
    }).values
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${tokenUsage}`)
  }
}

/** Claims that are set by an option or a setting. */
const reserved: Record<string, string> = {
  sub: '--sub',
  exp: '--expires',
  scope: '--scope',
  iss: 'JWT_ISSUER',
  aud: 'JWT_AUDIENCE',
}

const parseClaim = (text: string): [string, unknown] => {
  const [, name = '', json = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? []
  const instead = reserved[name]
  if (instead) throw new Error(`--claim ${name}: set it by ${instead}.`)
  try {
    if (name !== '') return [name, JSON.parse(json)]
  } catch {
    // Refused below, as other values are.
  }
  throw new Error(
    `--claim "${text}" has to be a name and JSON: --claim 'kairan:subscribe=["org-7"]' or --claim 'name="text"'.`,
  )
}
