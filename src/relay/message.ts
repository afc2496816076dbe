import { parseObject } from '../lib/json.ts'
import type { ToldBetween } from '../log/changes.ts'
import type { Event } from '../log/event.ts'
import { isSnapshot } from '../log/snapshot.ts'
import type { Step } from '../log/step.ts'

/** What a relay carries: a step of the log, or how far it goes, for instances that have missed one. */
export type Message = Step | Head

export type Head = { server: string; epoch: string; head: number }

export const isStep = (message: Message): message is Step => 'to' in message

/**
 * A message as bytes. A step may have to be split, so that each message has at most `mostBytes`; one that would be more
 * than `mostMessages` says only how far the log goes, and the table is read.
 */
export const encode = (message: Message, mostBytes: number, mostMessages: number): Uint8Array[] => {
  if (!isStep(message) || !message.told) return [bytesOf(headOf(message))]
  const events = message.events.map(event => JSON.stringify(rowOf(event)))
  const whole = join(message, message.prev, message.to, events, message.told)
  if (whole.length <= mostBytes) return [whole]
  const parts = split(message, events, mostBytes, mostMessages)
  return parts ?? [bytesOf(headOf(message))]
}

/** Reads a message; null when it is none that this version knows. */
export const decode = (bytes: Uint8Array): Message | null => {
  const { server, epoch, head, prev, to, events, told } = parseObject(decoder.decode(bytes)) ?? {}
  if (typeof server !== 'string' || typeof epoch !== 'string') return null
  if (isSeq(head)) return { server, epoch, head }
  if (!isSeq(prev) || !isSeq(to) || prev >= to || !Array.isArray(events)) return null
  const between = readTold(told)
  const read = events.flatMap(row => eventOf(row) ?? [])
  if (!between || read.length < events.length || !isRising(read, prev, to)) return null
  return { server, epoch, prev, to, events: read, told: between }
}

const headOf = (message: Message): Head => ({
  server: message.server,
  epoch: message.epoch,
  head: isStep(message) ? message.to : message.head,
})

const bytesOf = (message: object) => encoder.encode(JSON.stringify(message))

const join = (
  { server, epoch }: Step,
  prev: number,
  to: number,
  events: string[],
  { since, now, told }: ToldBetween,
) => {
  const rows = told.map(({ xid, change }) => [String(xid), change])
  const head = JSON.stringify({ server, epoch, prev, to, told: { since, now, told: rows } })
  return encoder.encode(`${head.slice(0, -1)},"events":[${events.join(',')}]}`)
}

/** Null when it takes too many messages. What was told is in the first one. */
const split = (step: Step, events: string[], mostBytes: number, mostMessages: number) => {
  const { told } = step
  if (!told) return null
  const messages: Uint8Array[] = []
  let prev = step.prev
  let between = told
  let part: string[] = []
  let bytes = join(step, prev, step.to, [], between).length
  const end = (to: number) => {
    messages.push(join(step, prev, to, part, between))
    prev = to
    between = { since: told.now, now: told.now, told: [] }
    part = []
    bytes = join(step, prev, step.to, [], between).length
  }
  for (const [index, event] of events.entries()) {
    const size = Buffer.byteLength(event) + 1
    const before = step.events[index - 1]?.seq
    if (bytes + size > mostBytes && part.length > 0 && typeof before === 'number') end(before)
    if (bytes + size > mostBytes || messages.length >= mostMessages) return null
    part.push(event)
    bytes += size
  }
  end(step.to)
  return messages.every(message => message.length <= mostBytes) ? messages : null
}

const rowOf = (event: Event) => [
  event.seq,
  event.id,
  event.channel,
  event.type,
  event.createdAt,
  event.expiresAt,
  event.payload,
  event.metadata,
  event.traceparent ?? null,
]

const eventOf = (row: unknown): (Event & { seq: number }) | null => {
  if (!Array.isArray(row)) return null
  const [seq, id, channel, type, createdAt, expiresAt, payload, metadata, traceparent]: unknown[] =
    row
  if (!isSeq(seq) || typeof id !== 'string' || typeof channel !== 'string') return null
  if (typeof createdAt !== 'string' || typeof payload !== 'string') return null
  if (!isText(type) || !isText(metadata) || !isText(traceparent)) return null
  if (expiresAt !== null && typeof expiresAt !== 'number') return null
  return { seq, id, channel, type, createdAt, expiresAt, payload, metadata, traceparent }
}

const readTold = (value: unknown): ToldBetween | null => {
  if (typeof value !== 'object' || value === null) return null
  if (!('since' in value && 'now' in value && 'told' in value)) return null
  const { since, now, told } = value
  if (!isSnapshot(since) || !isSnapshot(now) || !Array.isArray(told)) return null
  const read = told.flatMap((row: unknown) => {
    if (!Array.isArray(row)) return []
    const [xid, change]: unknown[] = row
    if (typeof xid !== 'string' || !/^\d{1,20}$/.test(xid) || typeof change !== 'string') return []
    return { xid: BigInt(xid), change }
  })
  return read.length === told.length ? { since, now, told: read } : null
}

/** Whether the positions rise, after `prev` and up to `to`. */
const isRising = (events: { seq: number }[], prev: number, to: number) =>
  events.every(({ seq }, index) => seq > (events[index - 1]?.seq ?? prev) && seq <= to)

const isSeq = (value: unknown): value is number => Number.isSafeInteger(value)

const isText = (value: unknown): value is string | null =>
  value === null || typeof value === 'string'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
