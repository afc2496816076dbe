/** Reads a time like `90s`, `15m`, `12h` or `7d`, in milliseconds. Returns NaN for anything else. */
export const parseDuration = (text: string): number => {
  const [, count, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  return Number(count) * (unitMs[unit] ?? Number.NaN)
}

const unitMs: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
