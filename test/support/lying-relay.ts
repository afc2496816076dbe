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

export type LieOptions = {
  /** From 0, the truth, to 1, nothing but lies; 0.5 by default. */
  share?: number
  /** Which lies are told; all by default, but for `forge` where there is none. */
  only?: readonly Lie[]
  random?: () => number
  /** What arrives in the place of a message: where the test knows what is in it, for example another epoch. */
  forge?: (message: Uint8Array) => Uint8Array
}

/** Tells lies, and counts them. Each mouth tells its own, with its own memory of old messages. */
export const createLies = (options: LieOptions = {}) => {
  const random = options.random ?? Math.random
  const known = options.only ?? lies.filter(lie => lie !== 'forge' || options.forge)
  const told = { drop: 0, repeat: 0, delay: 0, corrupt: 0, truncate: 0, old: 0, forge: 0 }
  const below = (most: number) => Math.floor(random() * most)

  const mouth = (say: (message: Uint8Array) => void) => {
    const kept: Uint8Array[] = []
    const timers = new Set<ReturnType<typeof setTimeout>>()
    const later = (message: Uint8Array) => {
      const timer = setTimeout(() => {
        timers.delete(timer)
        say(message)
      }, below(500))
      timers.add(timer)
    }
    /** What is said at once instead of the message. */
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
    return {
      hear(message: Uint8Array) {
        kept.push(message.slice())
        if (kept.length > 100) kept.shift()
        const chosen = random() < self.share ? known[below(known.length)] : undefined
        if (chosen) told[chosen]++
        for (const saying of chosen ? lie[chosen](message) : [message]) say(saying)
      },
      /** Says nothing any more of what was delayed. */
      stop() {
        for (const timer of timers) clearTimeout(timer)
      },
    }
  }
  const self = { told, share: options.share ?? 0.5, mouth }
  return self
}

/** A relay within this process that tells the truth. */
export const honestRelay = (maxBytes = 1000): Relay => {
  const receivers = new Set<(message: Uint8Array) => void>()
  return {
    maxBytes,
    async send(message) {
      for (const receive of receivers) receive(message)
    },
    receive(onMessage) {
      receivers.add(onMessage)
      return {
        isUp: () => true,
        async stop() {
          receivers.delete(onMessage)
        },
      }
    },
  }
}

/**
 * A relay that does all that one may do: it loses, repeats, delays (and so reorders), changes and cuts messages, and
 * sends old ones again. Each receiver is lied to in its own way.
 */
export const lyingRelay = (relay: Relay, options: LieOptions = {}) => {
  const told = createLies(options)
  const lying: Relay = {
    get maxBytes() {
      return relay.maxBytes
    },
    send: message => relay.send(message),
    receive(onMessage) {
      const mouth = told.mouth(onMessage)
      const receiving = relay.receive(mouth.hear)
      return {
        isUp: receiving.isUp,
        async stop() {
          mouth.stop()
          await receiving.stop()
        },
      }
    },
  }
  /** `lies` counts them, and its `share` can be changed. */
  return Object.assign(lying, { lies: told })
}
