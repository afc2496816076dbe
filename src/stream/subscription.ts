import type { Frame } from '../log/event.ts'

/** What waits in a queue: an event's frame, or the bytes of a control event or a heartbeat. */
export type Queued = Frame | Uint8Array

/**
 * A connection's handle in the hub: which channels it reads, how far it has come in the log, and the
 * queue of what its stream has not taken yet. A class, because there are thousands of them.
 */
export class Subscription {
  /** The `streamId` of its `ready`, which nobody else can guess. */
  readonly id = crypto.randomUUID()
  readonly userId: string
  channels: readonly string[]
  /** The seq up to which its stream has taken all that is for it. */
  position: number
  /** Its stream was handed all of `proven` above this seq. */
  since: number
  /** What was pending when it began, and was handed to it. */
  pending: number[] = []
  /** The channels that it had since it began. */
  proven: readonly string[]
  /** Whether new events are pushed to it. If not, it reads the log until it has caught up. */
  live = false
  /** What its stream says before it ends, once it is closed. */
  farewell: Uint8Array | null = null
  closed = false
  /** Why it was closed, in a word: `client`, when nobody here did it. */
  reason = 'client'
  /** Events of the live path that did not fit and are nowhere else; told to the client, then reset. */
  lost = 0
  /** Whether its queue was dropped and the client has not been told yet. */
  lagging = false
  /** When its stream last took something, in Unix milliseconds. */
  takenAt = Date.now()

  /** How many look-ups of its channels are under way: until they end, nothing of the log is sent. */
  #held = 0
  readonly #queueBytes: number
  #queue: Queued[] = []
  #bytes = 0
  #wake: (() => void) | null = null

  constructor(options: {
    userId: string
    channels: readonly string[]
    position: number
    queueBytes: number
  }) {
    this.userId = options.userId
    this.channels = options.channels
    this.position = options.position
    this.since = options.position
    this.proven = options.channels
    this.#queueBytes = options.queueBytes
  }

  get queuedBytes() {
    return this.#bytes
  }

  /**
   * Queues an event. One that does not fit empties the queue: the stream then reads what it has not
   * taken from the log, at its own pace. Events of the live path are not in the log, so they are
   * counted as lost.
   */
  push(frame: Frame) {
    if (this.closed) return
    const { seq } = frame.event
    const stored = seq !== null
    // Behind: it will read this from the log. Ahead: another instance has sent it already.
    if (stored && (!this.live || seq <= this.position)) return
    if (this.#bytes + frame.bytes.length > this.#queueBytes) {
      if (!stored) this.lost++
      this.#fallBehind()
      return
    }
    this.#add(frame)
  }

  /** Queues a control event or a heartbeat: small, and never dropped. */
  pushControl(bytes: Uint8Array) {
    if (!this.closed) this.#add(bytes)
  }

  /**
   * Stops it from sending anything while its channels are looked up. What waits is dropped and read from
   * the log afterwards, with the channels that it has then: so it gets nothing of one that it loses, and
   * misses nothing of one that it gains. `head` is where the log ends. The caller owes `release`.
   */
  hold(head: number) {
    this.#held++
    if (!this.live) return
    if (!this.#queue.some(isStored)) this.position = Math.max(this.position, head)
    this.#keep(queued => !isStored(queued))
    this.live = false
  }

  release() {
    this.#held--
    this.#wakeUp()
  }

  get isHeld() {
    return this.#held > 0
  }

  /** Resolves when nobody holds it, or when it is closed. */
  async settled() {
    while (this.isHeld && !this.closed) await this.#woken()
  }

  /** Gives it other channels: it gets no further event of those it lost. */
  moveTo(channels: readonly string[]) {
    this.channels = channels
    this.proven = this.proven.filter(channel => channels.includes(channel))
    this.#keep(queued => queued instanceof Uint8Array || channels.includes(queued.event.channel))
  }

  /** Takes what is queued, in order, up to about `maxBytes`; empty when nothing is. */
  take(maxBytes: number): Queued[] {
    let bytes = 0
    let count = 0
    for (const queued of this.#queue) {
      bytes += sizeOf(queued)
      count++
      if (!(queued instanceof Uint8Array) && queued.event.seq !== null) {
        this.position = queued.event.seq
      }
      if (bytes >= maxBytes) break
    }
    this.#bytes -= bytes
    if (count === this.#queue.length) {
      const all = this.#queue
      this.#queue = []
      return all
    }
    return this.#queue.splice(0, count)
  }

  /** Resolves when there is something to take, or when it is closed. */
  wait(): Promise<void> | undefined {
    if (this.#queue.length > 0 || this.closed || this.lagging) return undefined
    return this.#woken()
  }

  #woken() {
    return new Promise<void>(resolve => {
      this.#wake = resolve
    })
  }

  /** Ends its stream, after these last words. Without them it ends as if the network had gone. */
  close(farewell: Uint8Array | null = null, reason = 'client') {
    if (this.closed) return
    this.closed = true
    this.reason = reason
    this.farewell = farewell
    this.#queue = []
    this.#bytes = 0
    this.#wakeUp()
  }

  #add(queued: Queued) {
    this.#queue.push(queued)
    this.#bytes += sizeOf(queued)
    this.#wakeUp()
  }

  #fallBehind() {
    for (const queued of this.#queue) {
      if (!(queued instanceof Uint8Array) && queued.event.seq === null) this.lost++
    }
    this.#keep(queued => queued instanceof Uint8Array)
    this.live = false
    this.lagging = true
    this.#wakeUp()
  }

  #keep(wanted: (queued: Queued) => boolean) {
    this.#queue = this.#queue.filter(wanted)
    this.#bytes = this.#queue.reduce((sum, queued) => sum + sizeOf(queued), 0)
  }

  // The stream goes on in a microtask, after the whole round was pushed: one wake, one write.
  #wakeUp() {
    this.#wake?.()
    this.#wake = null
  }
}

const isStored = (queued: Queued) => !(queued instanceof Uint8Array) && queued.event.seq !== null

const sizeOf = (queued: Queued) =>
  queued instanceof Uint8Array ? queued.length : queued.bytes.length
