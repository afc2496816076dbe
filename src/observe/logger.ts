import { pino } from 'pino'
import type { Report } from '../lib/report.ts'

/**
 * One JSON line on stdout for each report, with the worker's number if it is one; in `dev` a readable one.
 * No pino transport: those are worker files, which a compiled binary does not have.
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
    : pino({ level, base, redact, timestamp: pino.stdTimeFunctions.isoTime })
  return report
}

/** Nothing of these is meant to be logged; should it be, it is not shown. */
const redact = ['authorization', 'cookie', 'token', 'ticket', 'secret', 'password', 'payload']

const prettyStream = async () => {
  const { default: create } = await import('pino-pretty')
  return create({ ignore: 'pid,hostname', translateTime: 'HH:MM:ss' })
}
