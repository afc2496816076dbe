import { accessSync, constants } from 'node:fs'
import { availableParallelism } from 'node:os'
import { isLoopback } from '../http/hosts.ts'
import { parseDuration } from '../lib/duration.ts'
import { messageOf } from '../lib/errors.ts'
import { parseNatsUrl } from '../lib/nats-url.ts'
import { parsePostgresUrl } from '../lib/postgres-url.ts'
import { parseWebhookSecret } from '../lib/webhook-secret.ts'
import {
  dots,
  hideNatsSecrets,
  hidePostgresSecrets,
  hideUrlPath,
  hideUrlSecrets,
} from './redact.ts'

export type Environment = Record<string, string | undefined>

/** A setting as people may see it: its value as text, without what its kind says is secret. */
export type ShownSetting = { name: string; text: string; isSecret: boolean }

/** Reads one setting of each kind. */
export type SettingReader = ReturnType<typeof createReader>

/**
 * Reads settings by their kinds. Each method adds what is wrong to `problems`, as one line with the setting's
 * name, and its value to `shown`. What may be shown depends on the kind alone, never on the name.
 */
export const createReader = (env: Environment, problems: string[], shown: ShownSetting[]) => {
  // An empty variable counts as not set: compose files and CI pass unset variables on as empty ones.
  const get = (name: string) => env[name]?.trim() || undefined
  const split = (name: string) =>
    (get(name) ?? '')
      .split(',')
      .map(item => item.trim())
      .filter(Boolean)

  /** Adds a setting to `shown`, and returns its value. */
  const show = <T>(name: string, value: T, text = String(value ?? ''), isSecret = false) => {
    shown.push({ name, text, isSecret })
    return value
  }

  return {
    text: (name: string, fallback: string) => show(name, get(name) ?? fallback),
    optional: (name: string) => show(name, get(name) ?? null),
    integer(name: string, fallback: number, least: number, most: number) {
      const value = get(name)
      if (value === undefined) return show(name, fallback)
      const number = Number(value)
      if (/^-?\d+$/.test(value) && number >= least && number <= most) return show(name, number)
      problems.push(`${name}="${value}": it has to be a whole number from ${least} to ${most}.`)
      return fallback
    },
    optionalInteger(name: string, least: number, most: number) {
      return get(name) === undefined ? show(name, null) : this.integer(name, least, least, most)
    },
    /** `auto` means one per core. */
    workers(name: string, most: number) {
      const value = get(name) ?? '1'
      const count = value === 'auto' ? Math.min(availableParallelism(), most) : Number(value)
      if (/^(auto|\d+)$/.test(value) && count >= 1 && count <= most) return show(name, count)
      problems.push(`${name}="${value}": it has to be a whole number from 1 to ${most}, or auto.`)
      return 1
    },
    onOff(name: string, fallback: 'on' | 'off') {
      const value = get(name) ?? fallback
      if (!/^(on|off)$/.test(value)) problems.push(`${name}="${value}": it has to be on or off.`)
      return show(name, value === 'on', value)
    },
    /** A time like 90s, 15m, 12h or 7d. */
    duration(name: string, fallback: string) {
      const value = get(name) ?? fallback
      const ms = parseDuration(value)
      if (!(ms > 0))
        problems.push(`${name}="${value}": it has to be a time like 90s, 15m, 12h or 7d.`)
      return show(name, ms, value)
    },
    matching(name: string, fallback: string, pattern: RegExp, what: string) {
      const value = get(name) ?? fallback
      if (!pattern.test(value)) problems.push(`${name}="${value}": it has to be ${what}.`)
      return show(name, value)
    },
    /** Its problems do not repeat the value, which contains a password. */
    postgresUrl(name: string, optional?: 'optional') {
      const value = get(name)
      if (value === undefined) {
        if (!optional) {
          problems.push(
            `${name} is missing: set it to postgres://user:password@host:5432/database. ` +
              '(`bun run dev` brings its own Postgres.)',
          )
        }
      } else {
        const problem = problemOfPostgresUrl(value)
        if (problem !== null) problems.push(`${name} can't be used: ${problem}`)
      }
      return show(name, value, hidePostgresSecrets(value ?? ''))
    },
    /** Its problems do not repeat the value either. */
    natsUrl(name: string) {
      const value = get(name)
      if (value === undefined) return show(name, null)
      const problem = problemOfNatsUrl(value)
      if (problem !== null) problems.push(`${name} can't be used: ${problem}`)
      return show(name, value, hideNatsSecrets(value))
    },
    list(name: string, isValid: (item: string) => boolean, what: string) {
      const items = split(name)
      const wrong = items.find(item => !isValid(item))
      if (wrong !== undefined) problems.push(`${name}: "${wrong}" is none of: ${what}, by commas.`)
      return show(name, items, items.join(', '))
    },
    httpUrl(name: string) {
      const value = get(name)
      if (value === undefined) return show(name, null)
      if (!isHttpUrl(value)) problems.push(`${name} is not a URL like http://otel-collector:4318.`)
      return show(name, value, hideUrlSecrets(value))
    },
    /** A URL to which something is posted. Its path may be secret. */
    webhookUrl(name: string) {
      const value = get(name)
      if (value === undefined) return show(name, null)
      const url = isHttpUrl(value) ? URL.parse(value) : null
      if (!url || url.hash) problems.push(`${name} is not a URL like https://example.com/kairan.`)
      else if (url.username || url.password)
        problems.push(`${name} has a password in it, which is not sent: verify the signature.`)
      return show(name, value, hideUrlPath(value))
    },
    /** The secrets of Standard Webhooks, with commas between them during a rotation. Needed with `url`. */
    webhookSecrets(name: string, url: string) {
      const secrets = split(name)
      if (secrets.length === 0 && get(url) !== undefined) {
        problems.push(
          `${name} is missing: set it to whsec_ and the base64 of 24 to 64 random bytes, for example from ` +
            '`echo whsec_$(openssl rand -base64 32)`.',
        )
      }
      for (const [index, secret] of secrets.entries()) {
        if (parseWebhookSecret(secret) !== null) continue
        problems.push(
          `${name} (number ${index + 1}) is not whsec_ and the base64 of 24 to 64 bytes (Standard Webhooks).`,
        )
      }
      return show(name, secrets, secrets.map(() => dots).join(', '), secrets.length > 0)
    },
    /** Whoever can change its answer can sign in as any user, so plain http is for this machine only. */
    secureUrl(name: string) {
      const value = get(name)
      if (value === undefined) return show(name, null)
      const url = isHttpUrl(value) ? URL.parse(value) : null
      if (url?.protocol !== 'https:' && !(url?.protocol === 'http:' && isLoopback(url.hostname))) {
        problems.push(
          `${name} is not a URL like https://id.example.com/jwks.json (http: loopback).`,
        )
      } else if (url.username || url.password) {
        problems.push(`${name} has a password in it, which is not sent: keys are public.`)
      }
      return show(name, value, hideUrlSecrets(value))
    },
    /**
     * Several secrets, separated by commas, during a rotation. The first signs, all verify. It may be missing where
     * the setting `instead` is set, or when it is `optional`.
     */
    secrets(name: string, leastBytes: number, instead?: string) {
      const secrets = split(name)
      const mayMiss = instead === 'optional' || (instead && get(instead) !== undefined)
      if (secrets.length === 0 && !mayMiss) {
        problems.push(
          `${name} is missing: set it to at least ${leastBytes} random bytes, for example from \`openssl rand -base64 48\`${instead ? `, or set ${instead}` : ''}.`,
        )
      }
      for (const [index, secret] of secrets.entries()) {
        const bytes = Buffer.byteLength(secret)
        if (secret.startsWith('-----BEGIN')) {
          problems.push(
            `${name} (number ${index + 1}) is a key in PEM, which is no secret: use JWT_JWKS_URL.`,
          )
        } else if (bytes < leastBytes) {
          problems.push(
            `${name} (number ${index + 1}) has ${bytes} bytes: HS256 needs at least ${leastBytes} (RFC 7518, 3.2).`,
          )
        } else if (new Set(secret).size < 8) {
          problems.push(`${name} (number ${index + 1}) repeats a few characters: use a random one.`)
        }
      }
      return show(name, secrets, secrets.map(() => dots).join(', '), secrets.length > 0)
    },
  }
}

/** Whether this is an http or https URL, written so that its parts can be told apart without a parser. */
const isHttpUrl = (value: string) => /^https?:\/\/[^\s\\]+$/i.test(value) && URL.canParse(value)

/** What is wrong with a Postgres URL; null when nothing is. The files that it names have to be readable. */
const problemOfPostgresUrl = (url: string) => {
  try {
    const { rootCertificate, certificate, key } = parsePostgresUrl(url).tls
    requireReadable([rootCertificate === 'system' ? undefined : rootCertificate, certificate, key])
    return null
  } catch (error) {
    return messageOf(error)
  }
}

/** The same of a NATS URL. */
const problemOfNatsUrl = (url: string) => {
  try {
    const { credentials, tls } = parseNatsUrl(url)
    requireReadable([credentials, tls?.rootCertificate, tls?.certificate, tls?.key])
    return null
  } catch (error) {
    return messageOf(error)
  }
}

const requireReadable = (files: (string | undefined)[]) => {
  for (const file of files) if (file !== undefined) accessSync(file, constants.R_OK)
}
