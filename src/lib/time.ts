const pattern =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:Z|([+-])(\d\d):(\d\d))$/

/**
 * Reads a time of ISO 8601 with its zone, such as `2030-01-31T12:00:00Z`. Returns the same time in UTC, to the
 * millisecond. Null when it is no time, and when Postgres has no such time: 30 February, 25 o'clock, the year 0.
 */
export const parseTime = (text: string): string | null => {
  const match = pattern.exec(text)
  if (!match) return null
  const number = (group: number) => Number(match[group] ?? 0)
  const [year, month, day] = [number(1), number(2), number(3)]
  const [hour, minute, second] = [number(4), number(5), number(6)]
  const ms = Math.floor(Number(`0.${match[7] ?? 0}`) * 1000)
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  // JavaScript makes 2 March of 30 February.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null
  const isMidnight = hour === 24 && minute + second + ms === 0
  if ((hour > 23 && !isMidnight) || minute > 59 || second > 59) return null
  const [offsetHour, offsetMinute] = [number(9), number(10)]
  // Postgres has no zone further away.
  if (offsetHour > 15 || offsetMinute > 59) return null
  const offset = (offsetHour * 60 + offsetMinute) * (match[8] === '-' ? -1 : 1)
  date.setUTCHours(hour, minute - offset, second, ms)
  return isWritable(date) && year >= 1 ? date.toISOString() : null
}

/** As `parseTime`; a day without a time is its midnight in UTC. */
export const parseTimeOrDay = (text: string): string | null =>
  parseTime(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text)

/** Other years would need a sign in ISO 8601, and Postgres writes those before 1 as BC. */
const isWritable = (date: Date) => date.getUTCFullYear() >= 1 && date.getUTCFullYear() <= 9999
