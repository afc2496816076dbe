import type { Relay } from '../../src/relay/relay.ts'

/** What becomes of a message, instead of arriving once and as it was sent. */
export type Lie = 'drop' | 'repeat' | 'delay' | 'corrupt' | 'truncate' | 'old' | 'forge'

export const lies: readonly Lie[] = [
  'drop',
  'repeat',
  'delay',
  'corrupt',
  'truncate',
  'old',
  'forge',
]

export type LyingRelay = Relay & {
  /** How often it told each lie. */
  readonly told: Record<Lie, number>
  /** From 0, the truth, to 1, nothing but lies. */
  share: number
}

/**
 * A relay that does all that one may do: it loses, repeats, delays (and so reorders), changes and cuts messages, and
 * sends old ones again. Each receiver is lied to in its own way. What `forge` makes of a message arrives in its place:
 * pass it where the test knows what is in a message, for example to send another epoch.
 */
export const lyingRelay = (
  relay: Relay,
  options: {
    share?: number
    /** Which lies it tells; all by default, but for `forge` where there is none. */
    only?: readonly Lie[]
    random?: () => number
    forge?: (message: Uint8Array) => Uint8Array
  } = {},
): LyingRelay => {
  const random = options.random ?? Math.random
  const known = options.only ?? lies.filter(lie => lie !== 'forge' || options.forge)
  const told = { drop: 0, repeat: 0, delay: 0, corrupt: 0, truncate: 0, old: 0, forge: 0 }
  const below = (most: number) => Math.floor(random() * most)

  const lying: LyingRelay = {
    told,
    share: options.share ?? 0.5,
    get maxBytes() {
      return relay.maxBytes
    },
    send: message => relay.send(message),
    receive(onMessage) {
      const kept: Uint8Array[] = []
      const timers = new Set<ReturnType<typeof setTimeout>>()
      const later = (message: Uint8Array) => {
        const timer = setTimeout(() => {
          timers.delete(timer)
          onMessage(message)
        }, below(500))
        timers.add(timer)
      }
      /** What arrives now instead of the message. */
      const lie: Record<Lie, (message: Uint8Array) => Uint8Array[]> = {
        drop: () => [],
        repeat(message) {
          later(message)
          return [message, message]
        },
        delay(message) {
          later(message)
          return []
        },
        corrupt(message) {
          const changed = message.slice()
          const at = below(changed.length)
          changed[at] = (changed[at] ?? 0) ^ (1 << below(8))
          return [changed]
        },
        truncate: message => [message.slice(0, below(message.length))],
        old: message => [kept[below(kept.length)] ?? message, message],
        forge: message => [options.forge?.(message) ?? message],
      }
      const receiving = relay.receive(message => {
        kept.push(message.slice())
        if (kept.length > 100) kept.shift()
        const chosen = random() < lying.share ? known[below(known.length)] : undefined
        if (chosen) told[chosen]++
        for (const arriving of chosen ? lie[chosen](message) : [message]) onMessage(arriving)
      })
      return {
        isUp: receiving.isUp,
        async stop() {
          for (const timer of timers) clearTimeout(timer)
          await receiving.stop()
        },
      }
    },
  }
  return lying
}
