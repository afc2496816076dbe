import type { Config } from './config.ts'

/** The settings as they count now, for people to read: no secret and no password is among them. */
export const redactConfig = (config: Config): Record<string, string> =>
  Object.fromEntries(
    Object.entries(config).map(([name, value]) => [toSetting(name), redact(name, value)]),
  )

/** What may be shown in full is everything but these. */
const redact = (name: string, value: Config[keyof Config]) => {
  if (name === 'jwtSecrets')
    return Array.isArray(value) ? value.map(() => '••••••••').join(', ') : ''
  if (Array.isArray(value)) return value.join(', ')
  const text = value === null ? '' : String(value)
  return /Url$/.test(name) ? withoutPassword(text) : text
}

/** Of a URL also what stands in its query can be a password. */
const withoutPassword = (text: string) => {
  if (/^postgres(ql)?:/.test(text)) return withoutPostgresPassword(text)
  const url = URL.parse(text)
  if (!url) return ''
  if (url.password) url.password = '••••'
  for (const key of url.searchParams.keys())
    if (/pass/i.test(key)) url.searchParams.set(key, '••••')
  return decodeURI(url.toString())
}

/** Such a URL may be none for others: it can have several hosts, and a # in its password. */
const withoutPostgresPassword = (text: string) =>
  text
    .replace(/^(\w+:\/\/[^/?:@]*):[^/?@]*@/, '$1:••••@')
    .replace(/([?&][^=&]*pass[^=&]*=)[^&]*/gi, '$1••••')

/** databaseUrl -> DATABASE_URL; times are kept in milliseconds, whatever they were set in. */
const toSetting = (name: string) => {
  const setting = name.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase()
  return setting === 'JWT_SECRETS' ? 'JWT_SECRET' : setting
}
