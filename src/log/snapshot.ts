/** A snapshot of Postgres', as text: which transactions had ended when it was taken. `xmin:xmax:xip,…` */
export type Snapshot = string

/** Whether a transaction had ended in a snapshot. */
export const sees = (snapshot: Snapshot, xid: bigint) => {
  const { end, open } = read(snapshot)
  return xid < end && !open.has(xid)
}

/**
 * Whether every transaction that had ended in `earlier` had ended in `later`. Of two snapshots of one server this is so
 * for the one that was taken later.
 */
export const covers = (later: Snapshot, earlier: Snapshot) => {
  if (later === earlier) return true
  const one = read(later)
  const other = read(earlier)
  const beyond = [...other.open].filter(xid => xid >= one.end).length
  if (other.end > one.end && BigInt(beyond) !== other.end - one.end) return false
  for (const xid of one.open) if (xid < other.end && !other.open.has(xid)) return false
  return true
}

/** The first transaction that had not begun. */
export const endOf = (snapshot: Snapshot) => read(snapshot).end

const read = (snapshot: Snapshot) => {
  const [, end = '0', open = ''] = snapshot.split(':')
  return { end: BigInt(end), open: new Set(open === '' ? [] : open.split(',').map(BigInt)) }
}

/** Whether a text is a snapshot, so that the functions here can read it. */
export const isSnapshot = (text: unknown): text is Snapshot =>
  typeof text === 'string' && /^\d{1,20}:\d{1,20}:(\d{1,20}(,\d{1,20})*)?$/.test(text)
