import { among } from '../auth/channels.ts'
import type { Mutes } from '../auth/mutes.ts'
import type { Taken } from '../inbox/receipts.ts'
import type { Event, Frame } from '../log/event.ts'
import { type Choice, choiceOf } from './choice.ts'
import { isEvent, isStored, Queue, type Queued } from './queue.ts'
import { Skipped } from './skipped.ts'

/** What is known of a connection when it opens. */
export type ConnectionFacts = {
  userId: string
  /** The channels that it asked for; undefined for all that its user may read. */
  asked: readonly string[] | undefined
  /** The channels that it asked for besides, which its user need not be allowed to read. */
  also?: readonly string[] | undefined
  /** The application's channels that its token lets it read: names, and beginnings that end in `*`. */
  subscribes: readonly string[]
  /** When its token ends, in Unix seconds: the stream ends then, too. */
  expiresAt: number
  /** When the stream ends in any case, in Unix milliseconds. */
  endsAt: number
  /** Where it comes from; null when that can't be known. */
  address: string | null
  /** The proof of the ticket that opened it; null when a token did. */
  proof: string | null
  /** Whether the ticket was spent for it: its browser knows the proof only from this stream. */
  isFirst: boolean
}

/** Which channels a subscription gains and loses, and where the log ends. */
type Move = { joined: readonly string[]; left: readonly string[]; head: number }

/** The subscription as others see it: they read its fields, and change it by its methods only. */
export type Subscription = Readonly<OpenSubscription>

/** A subscription that has everything up to `position` in the log of this epoch. */
export const createSubscription = (
  facts: ConnectionFacts,
  place: { channels: readonly string[]; epoch: string; position: number; queueBytes: number },
): Subscription => new OpenSubscription(facts, place)

/**
 * One connection's place in the hub: who it is of, the channels that it reads, its position in the log, and
 * the queue of frames that its stream has not written yet.
 *
 * The queue holds at most `queueBytes`. A frame that does not fit empties it: the stream then reads what it
 * missed from the log. Events of the live path are not in the log, so dropping one adds to `lost`, and the
 * client is told.
 */
class OpenSubscription extends Queue {
  /** The `streamId` of its `ready`. It can't be guessed. */
  readonly id = crypto.randomUUID()
  readonly userId: string
  /** Which of the channels that its user may read it carries. */
  choice: Choice
  subscribes: readonly string[]
  readonly address: string | null
  readonly proof: string | null
  readonly isFirst: boolean
  /** In Unix milliseconds, as are the other times. */
  readonly openedAt = Date.now()
  readonly endsAt: number
  /** When its token ends. */
  expiresAt = 0
  /** The log that its position is in. */
  readonly epoch: string
  channels: readonly string[]
  /** What its user has muted; null for nothing. */
  mutes: Mutes | null = null
  /**
   * What it was told last of the channels that it asked for besides its own; empty when it is owed an answer, null when
   * it has not asked for any.
   */
  toldAlso: string | null = null
  /** The seq up to which its stream has taken all that is for it. */
  position: number
  /** Whether new events are pushed to it. If not, it reads the log until it has caught up. */
  live = false
  closed = false
  /** Why it was closed, in a word: `client` when the client left. */
  reason = 'client'
  /** What its stream writes last, once it is closed. */
  farewell: Uint8Array | null = null
  /** When its connection last took something. */
  takenAt = this.openedAt

  /** When its client is told that the token expires; infinite once it was told. */
  #noticeAt = 0
  /** It has taken all of `#keptChannels` above this seq. */
  #since: number
  /** The channels that it had all the time since. */
  #keptChannels: readonly string[]
  /** What it has not sent, as its user had muted it; null when that is nothing. */
  #skipped: Skipped | null = null
  /** The seqs that were pending when it began, and that it has taken. */
  #pending: readonly number[] = []
  /**
   * The seqs at which its user came to channels, as far as its position is before them: what is older on such a
   * channel is not for it. Null when there is none.
   */
  #joinedAt: Map<string, number> | null = null
  /** Where the log ended when the first of the look-ups under way began. */
  #heldAt = 0
  /** How many look-ups of its channels are under way: until they end, nothing of the log is sent. */
  #holds = 0
  /** Whether its queue was dropped and the client has not been told yet. */
  #isLagging = false
  #lost = 0
  readonly #queueBytes: number

  constructor(
    facts: ConnectionFacts,
    place: { channels: readonly string[]; epoch: string; position: number; queueBytes: number },
  ) {
    super()
    this.userId = facts.userId
    this.choice = choiceOf(facts.asked, facts.also)
    this.subscribes = facts.subscribes
    this.address = facts.address
    this.proof = facts.proof
    this.isFirst = facts.isFirst
    this.endsAt = facts.endsAt
    this.epoch = place.epoch
    this.channels = place.channels
    this.#keptChannels = place.channels
    this.position = place.position
    this.#since = place.position
    this.#queueBytes = place.queueBytes
    this.extendTo(facts)
  }

  /** Begins at this seq, whatever was before it. */
  startAt(seq: number) {
    this.position = seq
    this.#since = seq
  }

  /**
   * Its connection has taken everything up to this seq, or there was nothing for it. It never goes back: a page ends
   * where the log ends for this instance, which may be behind the one that the client comes from.
   */
  advanceTo(seq: number) {
    this.position = Math.max(this.position, seq)
  }

  /** Becomes live if it has everything up to `head`: from then on it misses nothing. */
  tryGoLive(head: number) {
    if (!this.isHeld && this.position >= head) this.live = true
    // All that is older than a join is behind it.
    if (this.position >= head) this.#joinedAt = null
    return this.live
  }

  /** Queues an event, unless it is behind and will read it from the log, or has it already. */
  push(frame: Frame) {
    if (this.closed) return
    const { seq } = frame.event
    if (seq !== null && (!this.live || seq <= this.position)) return
    if (!this.hasRoomFor(frame.bytes)) return this.#fallBehind(seq === null ? 1 : 0)
    this.add(frame)
    if (seq !== null) this.#skipped?.sent(seq)
  }

  /** Passes over an event that its user has muted, as `push` queues one. */
  passOver(event: Event) {
    if (!this.closed && this.live && (event.seq ?? 0) > this.position) this.#skip(event)
  }

  /** Queues a control event or a heartbeat: small, and never dropped. */
  pushControl(bytes: Uint8Array) {
    if (!this.closed) this.add(bytes)
  }

  /** Its stream no longer sends the stored events of these notifications that wait in its queue. */
  withdraw(ids: ReadonlySet<string>) {
    const isKept = (queued: Queued) => !isStored(queued) || !ids.has(queued.event.id ?? '')
    if (this.hasQueued(queued => !isKept(queued))) this.keep(isKept)
  }

  /** Whether these bytes fit into its queue. */
  hasRoomFor({ length }: Uint8Array) {
    return this.queuedBytes + length <= this.#queueBytes
  }

  /** What its stream writes next, up to about `maxBytes`; empty when nothing waits. */
  take(maxBytes: number): Queued[] {
    const queued = this.takeQueued(maxBytes)
    for (const item of queued) if (isEvent(item)) this.position = item.event.seq ?? this.position
    return queued
  }

  /** Its connection has taken what was written. */
  noteTaken() {
    this.takenAt = Date.now()
  }

  /** Its connection has taken these, which were pending when it began. */
  notePending(seqs: number[]) {
    // Beyond that, what was pending is not confirmed by a cursor.
    this.#pending = [...this.#pending, ...seqs].slice(0, mostPending)
  }

  /** After its queue was dropped, once: how many events are lost, as they were not in the log. */
  takeLag(): { lost: number } | null {
    if (!this.#isLagging) return null
    const lost = this.#lost
    this.#isLagging = false
    this.#lost = 0
    return { lost }
  }

  /** Resolves when there is something to write, or when it is closed. */
  wait(): Promise<void> | undefined {
    return this.isEmpty && !this.closed && !this.#isLagging ? this.woken() : undefined
  }

  /**
   * Stops it from sending events while its channels are looked up. What waits is dropped and read from the
   * log afterwards, with the channels of then: so it gets nothing of a channel that it loses, and misses
   * nothing of one that it gains. `head` is where the log ends. The caller owes `release`.
   */
  hold(head: number) {
    if (this.#holds++ === 0) this.#heldAt = head
    if (!this.live) return
    if (!this.hasQueued(isStored)) this.position = Math.max(this.position, head)
    this.keep(queued => !isStored(queued))
    this.live = false
    this.#skipped?.cutAfter(this.position)
  }

  release() {
    this.#holds--
    this.wake()
  }

  get isHeld() {
    return this.#holds > 0
  }

  /** Resolves when it is not held, or when it is closed. */
  settled(): Promise<void> | undefined {
    return this.isHeld && !this.closed ? this.woken().then(() => this.settled()) : undefined
  }

  /**
   * Gives it other channels: it gets no further event of those that it loses, and of those that it gains only what
   * follows. That is what follows the beginning of the look-up, if it is held; otherwise what follows `head`.
   */
  moveTo(channels: readonly string[], change: Move) {
    const { joined, left } = change
    const joinedAt = this.isHeld ? this.#heldAt : change.head
    for (const channel of left) this.#joinedAt?.delete(channel)
    if (this.position < joinedAt) {
      for (const channel of joined) {
        this.#joinedAt ??= new Map()
        this.#joinedAt.set(channel, joinedAt)
      }
    }
    this.channels = channels
    if (left.length === 0) return
    const isLeft = among(left)
    this.#keptChannels = this.#keptChannels.filter(channel => !isLeft(channel))
    this.keep(queued => !isEvent(queued) || !isLeft(queued.event.channel))
  }

  /** It has asked for other channels besides its own, and is told what became of them. */
  oweAlso() {
    this.toldAlso = ''
  }

  /**
   * Notes what it is told of the channels that it asked for besides. Returns whether that is something else than
   * before.
   */
  tellAlso(text: string) {
    const isNew = text !== this.toldAlso
    this.toldAlso = text
    return isNew
  }

  /** Its user has muted this: what waits of it is not sent. */
  mute(mutes: Mutes | null) {
    this.mutes = mutes
    if (!mutes) return
    this.keep(queued => {
      if (!isEvent(queued) || !mutes.has(queued.event)) return true
      this.#skip(queued.event)
      return false
    })
  }

  /**
   * Whether it sends this stored event of one of its channels, which follows those that it was asked for before: its
   * user was there when it was numbered, and has not muted it.
   */
  admits(event: Event) {
    const { channel, seq } = event
    if ((seq ?? 0) <= (this.#joinedAt?.get(channel) ?? 0)) return false
    if (this.mutes?.has(event)) {
      this.#skip(event)
      return false
    }
    this.#skipped?.sent(seq ?? 0)
    return true
  }

  /** Carries these of the channels that its user may read. The caller owes a look-up. */
  choose(choice: Choice) {
    this.choice = choice
  }

  /** Its token is another one, or the first one. */
  extendTo({ expiresAt, subscribes }: Pick<ConnectionFacts, 'expiresAt' | 'subscribes'>) {
    const now = Date.now()
    this.subscribes = subscribes
    this.expiresAt = expiresAt * 1000
    const leftMs = this.expiresAt - now
    this.#noticeAt = now + Math.max(leftMs - noticeMs, leftMs / 2)
  }

  /** Whether its client has to be told now that the token expires: true once for each token. */
  takeNotice(now: number) {
    const isDue = now >= this.#noticeAt
    if (isDue) this.#noticeAt = Number.POSITIVE_INFINITY
    return isDue
  }

  /** Ends its stream, after these last bytes. Without them, its client sees a network error. */
  close(farewell: Uint8Array | null = null, reason = 'client') {
    if (this.closed) return
    this.closed = true
    this.reason = reason
    this.farewell = farewell
    this.clear()
    this.wake()
  }

  /** Closes it when its request is aborted: `addEventListener` takes an object with this method. */
  handleEvent() {
    this.close()
  }

  /** What it took until now; null when that is nothing. */
  get taken(): Taken | null {
    const [since, seq, pending] = [this.#since, this.position, this.#pending]
    if (seq <= since && pending.length === 0) return null
    const [channels, skipped] = [this.#keptChannels, this.#skipped?.of(this.#keptChannels) ?? {}]
    return { userId: this.userId, channels, skipped, pending, since, seq }
  }

  #skip({ channel, seq }: Event) {
    if (seq === null) return
    this.#skipped ??= new Skipped()
    // Of what is forgotten, nothing is confirmed by a cursor.
    this.#since = Math.max(this.#since, this.#skipped.add(channel, seq))
  }

  /** `lost` is how many more are lost than what waits. */
  #fallBehind(lost: number) {
    this.#lost += lost + this.countQueued(queued => isEvent(queued) && !isStored(queued))
    this.keep(queued => !isEvent(queued))
    this.live = false
    this.#skipped?.cutAfter(this.position)
    this.#isLagging = true
    this.wake()
  }
}

const mostPending = 1000

/** How long before its end a stream is told that its token expires; short ones at half of their time. */
const noticeMs = 60_000
