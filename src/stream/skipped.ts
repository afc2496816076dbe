/** Of a channel: from this seq to that one nothing was sent. */
export type Range = [from: number, to: number]

/** Of all channels together, so that a stream does not grow with what its user mutes. */
const mostRanges = 1000

/**
 * What a stream has passed over, since its user has muted it: its client's cursor comes after it, and does not prove
 * that it has arrived. What is passed over one after the other is one range.
 */
export class Skipped {
  readonly #ranges = new Map<string, Range[]>()
  #count = 0
  /** The last event that was sent. */
  #sent = 0

  sent(seq: number) {
    this.#sent = seq
  }

  /** Adds an event. Returns up to which seq it has forgotten: normally 0, as there are not too many. */
  add(channel: string, seq: number): number {
    const ranges = this.#ranges.get(channel) ?? []
    const last = ranges.at(-1)
    if (last && last[0] <= seq && seq <= last[1]) return 0
    if (last && last[1] < seq && this.#sent <= last[1]) {
      last[1] = seq
      return 0
    }
    ranges.push([seq, seq])
    this.#ranges.set(channel, ranges)
    this.#count++
    return this.#count > mostRanges ? this.#forgetOldest() : 0
  }

  /** What comes after this seq is sent or skipped anew. */
  cutAfter(seq: number) {
    this.#change(([from, to]) => (from > seq ? [] : [[from, Math.min(to, seq)]]))
  }

  /** The ranges of these channels. */
  of(channels: readonly string[]): Record<string, Range[]> {
    return Object.fromEntries(
      channels.flatMap(channel => {
        const ranges = this.#ranges.get(channel)
        return ranges ? [[channel, ranges]] : []
      }),
    )
  }

  /** Forgets the older half, so that this is rare. */
  #forgetOldest() {
    const ends = [...this.#ranges.values()].flat().map(([, to]) => to)
    const forgotten = ends.toSorted((a, b) => a - b)[mostRanges / 2] ?? 0
    this.#change(([from, to]) => (to <= forgotten ? [] : [[Math.max(from, forgotten + 1), to]]))
    return forgotten
  }

  #change(change: (range: Range) => Range[]) {
    this.#count = 0
    for (const [channel, ranges] of this.#ranges) {
      const kept = ranges.flatMap(change)
      this.#count += kept.length
      if (kept.length > 0) this.#ranges.set(channel, kept)
      else this.#ranges.delete(channel)
    }
  }
}
