import type { Frame } from '../log/event.ts'

/** What waits in a queue: an event's frame, or the bytes of a control event or a heartbeat. */
export type Queued = Frame | Uint8Array

/**
 * The frames that a connection has not taken yet, and the wait for them. A subscription extends it: an
 * object of its own for each of thousands of connections would be memory for nothing.
 */
export class Queue {
  #queued: Queued[] = nothing
  #bytes = 0
  #wake: (() => void) | null = null

  get queuedBytes() {
    return this.#bytes
  }

  protected get isEmpty() {
    return this.#queued.length === 0
  }

  protected hasQueued(wanted: (queued: Queued) => boolean) {
    return this.#queued.some(wanted)
  }

  protected countQueued(wanted: (queued: Queued) => boolean) {
    return this.#queued.filter(wanted).length
  }

  protected add(queued: Queued) {
    if (this.#queued === nothing) this.#queued = [queued]
    else this.#queued.push(queued)
    this.#bytes += sizeOf(queued)
    this.wake()
  }

  /** Removes all but what is wanted. */
  protected keep(wanted: (queued: Queued) => boolean) {
    this.#queued = this.#queued.filter(wanted)
    this.#bytes = this.#queued.reduce((sum, queued) => sum + sizeOf(queued), 0)
  }

  protected clear() {
    this.#queued = nothing
    this.#bytes = 0
  }

  /** Removes what is queued, in order, up to about `maxBytes`; empty when nothing is. */
  protected takeQueued(maxBytes: number): Queued[] {
    let bytes = 0
    let count = 0
    for (const queued of this.#queued) {
      bytes += sizeOf(queued)
      count++
      if (bytes >= maxBytes) break
    }
    this.#bytes -= bytes
    if (count < this.#queued.length) return this.#queued.splice(0, count)
    const all = this.#queued
    this.#queued = nothing
    return all
  }

  /** Resolves at the next `wake`. */
  protected woken() {
    return new Promise<void>(resolve => {
      this.#wake = resolve
    })
  }

  /** The stream goes on in a microtask, after the whole round was pushed: one wake, one write. */
  protected wake() {
    this.#wake?.()
    this.#wake = null
  }
}

/** Shared by all empty queues. Nothing is ever added to it. */
const nothing: Queued[] = []

export const isEvent = (queued: Queued): queued is Frame => !(queued instanceof Uint8Array)

export const isStored = (queued: Queued): queued is Frame =>
  isEvent(queued) && queued.event.seq !== null

const sizeOf = (queued: Queued) => (isEvent(queued) ? queued.bytes.length : queued.length)
