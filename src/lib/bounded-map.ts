export type BoundedMap<V> = {
  get(key: string): V | undefined
  /** Adds or replaces an entry. When the map is full, the entry that was set longest ago is removed. */
  set(key: string, value: V): void
  delete(key: string): void
  readonly size: number
}

/** A map of at most `limit` entries, for values that may be forgotten. */
export const createBoundedMap = <V>(limit: number): BoundedMap<V> => {
  const entries = new Map<string, V>()
  return {
    get: key => entries.get(key),
    set(key, value) {
      entries.delete(key)
      entries.set(key, value)
      if (entries.size <= limit) return
      const [oldest] = entries.keys()
      if (oldest !== undefined) entries.delete(oldest)
    },
    delete: key => void entries.delete(key),
    get size() {
      return entries.size
    },
  }
}
