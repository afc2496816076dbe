/** What a user does not want to hear of: a type, a beginning of types that ends in `*`, or a channel. */
export type Mute = {
  type: string | null
  channel: string | null
  /** Until when, in Unix milliseconds; null for ever. */
  until: number | null
}

/** All that a user has muted. */
export type Mutes = {
  /** The same for the same mutes. */
  key: string
  /** When the first of them ends, in Unix milliseconds; infinite when none does. */
  endsAt: number
  channels: readonly string[]
  types: readonly string[]
  /** Beginnings of types, without their star. */
  beginnings: readonly string[]
  has(event: { channel: string; type: string | null }): boolean
}

/** What is muted by these; null when there are none. */
export const mutesOf = (mutes: readonly Mute[] = []): Mutes | null => {
  if (mutes.length === 0) return null
  const channels = mutes.flatMap(({ channel }) => channel ?? [])
  const named = mutes.flatMap(({ type }) => type ?? [])
  const types = named.filter(type => !type.endsWith('*'))
  const beginnings = named.filter(type => type.endsWith('*')).map(type => type.slice(0, -1))
  return {
    key: JSON.stringify(mutes),
    endsAt: Math.min(...mutes.map(({ until }) => until ?? Number.POSITIVE_INFINITY)),
    channels,
    types,
    beginnings,
    has: ({ channel, type }) =>
      channels.includes(channel) ||
      (type !== null && types.includes(type)) ||
      beginnings.some(beginning => (type ?? '').startsWith(beginning)),
  }
}
