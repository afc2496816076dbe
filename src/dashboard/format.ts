/** A short count: 950, 12.3k, 4.1M. */
export const short = (value: number) =>
  new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(value)

/** A number with its noun: 1 stream, 2,000 streams. */
export const count = (number: number, noun: string, nouns = `${noun}s`) =>
  `${number.toLocaleString('en')} ${number === 1 ? noun : nouns}`

/** A rate, with one decimal if it is small. */
export const rate = (value: number | null) =>
  value === null ? '–' : value < 10 ? value.toFixed(1) : short(Math.round(value))

/** Seconds in a suitable unit. */
export const seconds = (value: number | null) => {
  if (value === null) return '–'
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`
  return value < 120 ? `${value.toFixed(1)} s` : ago(value)
}

/** A duration: 3 min, 5 h, 2 d. */
export const ago = (value: number) => {
  if (value < 60) return `${Math.round(value)} s`
  if (value < 3600) return `${Math.round(value / 60)} min`
  return value < 86_400 ? `${(value / 3600).toFixed(1)} h` : `${(value / 86_400).toFixed(1)} d`
}

export const since = (iso: string, now = Date.now()) =>
  ago(Math.max(0, (now - Date.parse(iso)) / 1000))

/** A time, without its date if it is today. */
export const time = (iso: string | null) => {
  if (iso === null) return '–'
  const date = new Date(iso)
  const isToday = date.toDateString() === new Date().toDateString()
  return isToday ? date.toLocaleTimeString() : date.toLocaleString()
}

export const bytes = (value: number) => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10))
  return `${(value / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}
