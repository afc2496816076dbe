import { pino } from 'pino'
import type { Report } from './report.ts'

/**
 * One JSON line on stdout for each report; in `dev` a readable one. No pino transport: those are
 * worker files, which a compiled binary does not have.
 */
export const createLogger = async (options: {
  level: string
  pretty: boolean
}): Promise<Report> => {
  const { level, pretty } = options
  const report: Report = pretty
    ? pino({ level }, await prettyStream())
    : pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
  return report
}

const prettyStream = async () => {
  const { default: create } = await import('pino-pretty')
  return create({ ignore: 'pid,hostname', translateTime: 'HH:MM:ss' })
}
