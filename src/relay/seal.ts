import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { createBoundedMap } from '../lib/bounded-map.ts'

/** Seals messages, so that only instances of the same database can read and write them. */
export type Seal = {
  /** Uses this key from now on, 32 bytes. */
  use(key: Uint8Array): void
  /** Null as long as there is no key. */
  close(message: Uint8Array): Uint8Array | null
  /**
   * The message; or why there is none: it was not sealed with the key, it is not newer than the last one of its sender,
   * or this process has sent it. The last two are found without any work.
   */
  open(sealed: Uint8Array): Uint8Array | 'forged' | 'old' | 'own'
}

/** How many bytes a sealed message is longer. */
export const sealBytes = 41

const senderBytes = 16
/** Version, sender, and the number of the message. */
const headBytes = 1 + senderBytes + 8
const version = 1
/** So many senders are remembered. */
const mostSenders = 256

/**
 * AES-256-GCM. Every process is a sender with a random id and a key of its own, made of the shared one; so the number
 * of a message, counted from 1, is a nonce that it uses once. That number also tells a message that was sent again.
 */
export const createSeal = (): Seal => {
  const own = randomBytes(senderBytes)
  let shared: Uint8Array | null = null
  let ownKey: Uint8Array | null = null
  let sent = 0n
  let senders = createBoundedMap<Sender>(mostSenders)

  const senderOf = (id: Uint8Array, key: Uint8Array): Sender => {
    const name = Buffer.from(id).toString('base64')
    const known = senders.get(name)
    if (known) return known
    return { name, key: keyOf(key, id), last: 0n }
  }

  return {
    use(key) {
      if (shared && Buffer.from(shared).equals(key)) return
      shared = key
      ownKey = keyOf(key, own)
      senders = createBoundedMap(mostSenders)
    },
    close(message) {
      if (!ownKey) return null
      const head = Buffer.alloc(headBytes)
      head[0] = version
      head.set(own, 1)
      head.writeBigUInt64BE(++sent, 1 + senderBytes)
      const cipher = createCipheriv('aes-256-gcm', ownKey, nonceOf(head)).setAAD(head)
      const body = Buffer.concat([cipher.update(message), cipher.final()])
      return Buffer.concat([head, cipher.getAuthTag(), body])
    },
    open(sealed) {
      if (!shared || sealed.length < sealBytes || sealed[0] !== version) return 'forged'
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length)
      const head = bytes.subarray(0, headBytes)
      if (own.equals(head.subarray(1, 1 + senderBytes))) return 'own'
      const sender = senderOf(head.subarray(1, 1 + senderBytes), shared)
      const number = head.readBigUInt64BE(1 + senderBytes)
      if (number <= sender.last) return 'old'
      try {
        const decipher = createDecipheriv('aes-256-gcm', sender.key, nonceOf(head)).setAAD(head)
        decipher.setAuthTag(bytes.subarray(headBytes, sealBytes))
        const message = Buffer.concat([
          decipher.update(bytes.subarray(sealBytes)),
          decipher.final(),
        ])
        sender.last = number
        senders.set(sender.name, sender)
        return message
      } catch {
        // The tag is wrong: whoever wrote it does not have the key.
        return 'forged'
      }
    },
  }
}

type Sender = { name: string; key: Uint8Array; last: bigint }

const keyOf = (shared: Uint8Array, sender: Uint8Array) =>
  createHmac('sha256', shared).update('kairan relay').update(sender).digest()

const nonceOf = (head: Buffer) =>
  Buffer.concat([Buffer.alloc(4), head.subarray(1 + senderBytes, headBytes)])
