import { distance } from './cursors.ts'
import type { Frame } from './frames.ts'
import { createListeners } from './listeners.ts'
import type { Control, NotificationEvent } from './types.ts'

/** How many ids of notifications are remembered. */
const maxIds = 1000

/**
 * Reads the frames of a stream, and calls the listeners with the events that this tab has not seen. It compares
 * cursors, and also ids: a notification on two channels is two events in the log, but one for the user.
 */
export const createReader = (options: {
  /** The cursor of this tab. */
  cursor: string | null
  onMove(cursor: string): void
  /** Whether events that a stream missed before it begins now are old. */
  isAway(): boolean
  /** Called with an event before its listeners. */
  onEvent(event: NotificationEvent): void
  /** Called with an event that has come before, on the same channel: it was redelivered. */
  onAgain?(event: NotificationEvent): void
  /** Whether only the listeners of this channel receive its events. */
  isExtra?(channel: string): boolean | undefined
  /** Hears of a control event before its listeners. */
  onControl(control: Control): void
}) => {
  let { cursor } = options
  /** Events up to this cursor are replayed. */
  let oldTo: string | null = null
  /** The channel on which each came first. */
  const ids = new Map<string, string>()
  const events = createListeners<NotificationEvent>()
  const controls = createListeners<Control>()

  const moveTo = (next: string) => {
    cursor = next
    options.onMove(next)
  }

  const take = ({ event: kind, data, id }: Frame) => {
    const isControl = kind === 'control'
    const content = data && (isControl || !kind) ? JSON.parse(data) : null
    // After a gap it continues at the end of the gap, whatever it has seen.
    const isGap = isControl && content?.type === 'gap'
    const isSeen = !isGap && distance(id, cursor) <= 0
    if (id && !isSeen) moveTo(id)
    if (isControl) takeControl(content)
    else if (content && !isSeen) {
      const replayed = distance(id, oldTo) <= 0
      const event: NotificationEvent = { ...content, cursor: id ?? null, replayed }
      const known = ids.get(content.id)
      if (known === event.channel) return options.onAgain?.(event)
      call(event.channel, event)
      if (known !== undefined || options.isExtra?.(event.channel)) return
      know(event)
      options.onEvent(event)
      call('', event)
    }
  }

  /** Calls the listeners of a channel; without a name, those of the client. */
  const call = (channel: string, event: NotificationEvent) => {
    for (const type of new Set([event.type || '*', '*'])) events.call(`${channel}\n${type}`, event)
  }

  /** Takes a notification for one that has come. */
  const know = ({ id, channel }: { id: string | null; channel: string }) => {
    if (id === null) return
    ids.set(id, channel)
    // A map keeps the order in which it was filled: the first is the oldest.
    if (ids.size > maxIds) ids.delete(ids.keys().next().value ?? '')
  }

  const takeControl = (control: Control) => {
    const { type, head, ids: withdrawn } = control
    if (type === 'ready' && options.isAway()) oldTo = `${head}`
    // An instance that does not know it yet may still send it, when the stream is cut now.
    if (type === 'withdrawn') for (const id of [withdrawn].flat()) ids.set(`${id}`, '')
    options.onControl(control)
    controls.call(type, control)
  }

  return {
    get cursor() {
      return cursor
    },
    moveTo,
    know,
    take,
    takeControl,
    on: (type: string, listener: (event: NotificationEvent) => void, channel = '') =>
      events.add(`${channel}\n${type}`, listener),
    /** The channels that have listeners of their own, some of them several times. */
    channels: () => events.names().flatMap(name => name.split('\n')[0] || []),
    onControl: controls.add,
  }
}
