import type { Environment } from './reader.ts'

/** A variable that looks like a mistyped setting, and the setting that is most similar. */
export type MistakenName = { name: string; meant: string }

/**
 * Finds variables that look like mistyped settings: their first word is that of a setting, as in MAX_STREAM or
 * JWT_SECRETS, or they differ by one letter at the end, by underscores or by KAIRAN_ before it, as in PORTS, JWTSECRET
 * and KAIRAN_PORT. Other programs read many variables that begin with OTEL_, so more words have to agree there.
 */
export const findMistaken = (env: Environment, settings: readonly string[]): MistakenName[] => {
  const known = new Set(settings)
  const beginnings = [...new Set(settings.map(beginningOf))]
  return Object.entries(env)
    .filter(([name, value]) => value && !known.has(name) && !isServiceLink(name, value))
    .filter(([name]) => !openTelemetrys.test(name))
    .filter(
      ([name]) =>
        beginnings.some(words => name === words || name.startsWith(`${words}_`)) ||
        settings.some(setting => isAlmost(name, setting)),
    )
    .map(([name]) => ({ name, meant: closest(bare(name), settings) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

const isAlmost = (name: string, setting: string) => {
  const [long, short] = name.length > setting.length ? [name, setting] : [setting, name]
  return (
    bare(name) === setting ||
    name.replaceAll('_', '') === setting.replaceAll('_', '') ||
    (long.length === short.length + 1 && long.startsWith(short))
  )
}

const bare = (name: string) => name.replace(/^KAIRAN_/, '')

const beginningOf = (setting: string) => {
  const words = setting.split('_')
  return setting.startsWith('OTEL_') ? words.slice(0, -1).join('_') : (words[0] ?? '')
}

/** OpenTelemetry's exporter reads these itself. */
const openTelemetrys =
  /^OTEL_EXPORTER_OTLP_(TRACES_)?(HEADERS|TIMEOUT|COMPRESSION|CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE)$/

/** Kubernetes sets such variables for each service of a namespace, which may be called "database" or "auth". */
const isServiceLink = (name: string, value: string) =>
  /_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$/.test(name) ||
  (name.endsWith('_PORT') && /^(tcp|udp|sctp):/.test(value))

/** The setting whose name is most similar. */
export const closest = (name: string, settings: readonly string[]) =>
  settings
    .map(setting => ({ setting, distance: distanceOf(name, setting) }))
    .reduce((best, next) => (next.distance < best.distance ? next : best)).setting

/** Levenshtein distance: how many letters have to be added, removed or replaced. */
const distanceOf = (a: string, b: string) => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replaced))
    }
    row = next
  }
  return row[b.length] ?? 0
}
