import { pino } from 'pino'
import type { Report } from '../lib/report.ts'

/**
 * Writes each report as a line of JSON to stdout, with the worker's number if there are several; in `dev` as readable
 * text. It uses no pino transport, because a compiled binary does not contain the files of transports.
 */
export const createLogger = async (options: {
  level: string
  pretty: boolean
  worker?: number
}): Promise<Report> => {
  const { level, pretty, worker } = options
  const base = worker === undefined ? null : { worker }
  const report: Report = pretty
    ? pino({ level, base, redact }, await prettyStream())
    : createJsonLogger({ level, base })
  return report
}

/** Writes each report as a line of JSON to stdout, with the members of `base`. */
export const createJsonLogger = ({
  level,
  base,
}: {
  level: string
  base: Record<string, unknown> | null
}): Report => pino({ level, base, redact, timestamp: pino.stdTimeFunctions.isoTime })

/** Names of values that must not be logged. If one is, it is hidden. */
const redact = ['authorization', 'cookie', 'token', 'ticket', 'secret', 'password', 'payload']

const prettyStream = async () => {
  const { default: create } = await import('pino-pretty')
  return create({ ignore: 'pid,hostname', translateTime: 'HH:MM:ss' })
}
