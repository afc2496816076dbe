/** An open stream, as all instances may know of it. */
export type OpenStream = {
  id: string
  userId: string
  channels: readonly string[]
  /** Where its connection comes from; null when that can't be known. */
  address: string | null
  /** In Unix milliseconds. */
  openedAt: number
}

/** Keeps the other instances informed of the streams of this one. */
export type Presence = {
  opened(stream: OpenStream): void
  closed(id: string): void
}
