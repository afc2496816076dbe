import { type Bell, createBell } from './bell.ts'
import { type BellItem, type BellTexts, describe, texts } from './bell-words.ts'
import type { BellClient } from './inbox-types.ts'
import type { InboxItem, Options } from './types.ts'

export type { BellItem, BellTexts } from './bell-words.ts'
export type { BellClient } from './inbox-types.ts'

declare global {
  // biome-ignore lint/style/useConsistentTypeDefinitions: it is merged with that of the DOM.
  interface HTMLElementTagNameMap {
    'kairan-bell': KairanBell
  }
  // biome-ignore lint/style/useConsistentTypeDefinitions: it is merged with that of the DOM.
  interface HTMLElementEventMap {
    'kairan-select': CustomEvent<InboxItem>
  }
}

// A server has no elements, but may import this file.
const Base = globalThis.HTMLElement ?? (class {} as unknown as typeof HTMLElement)

/**
 * `<kairan-bell>`: a button with the number of unseen notifications, and the list that it opens, which makes them seen.
 * Its attributes are `url` and `user` (the `url` and `key` of a client), `limit`, and `mark="open"` where opening it marks
 * all as read, too. It fires
 * `kairan-select` with the notification as `detail` when one is chosen; cancelled, its link is not followed.
 */
export class KairanBell extends Base {
  #options: Parameters<typeof createBell>[1] = { describe, texts }
  #bell: Bell | undefined

  /** Gives the token of the user. Without it the cookie is used. */
  set auth(auth: Options['auth']) {
    this.#options.auth = auth
    this.#bell?.restart()
  }

  /** A client of the application. Without it, the bell makes one, and closes it when it leaves the page. */
  set client(client: BellClient | undefined) {
    this.#options.client = client
    this.#bell?.restart()
  }

  /** Says what is shown of a notification. By default that is `title`, `body` and `url` of its payload. */
  set describe(of: (item: InboxItem) => BellItem) {
    this.#options.describe = of
    this.#bell?.redraw()
  }

  /** Some of the texts, in another language. */
  set texts(some: Partial<BellTexts>) {
    this.#options.texts = { ...texts, ...some }
    this.#bell?.redraw()
  }

  connectedCallback() {
    this.#bell ??= createBell(this, this.#options)
    // What was set before the browser knew the element.
    for (const name of ['auth', 'client', 'describe', 'texts']) {
      const value = Object.getOwnPropertyDescriptor(this, name)?.value
      if (Reflect.deleteProperty(this, name) && value) Reflect.set(this, name, value)
    }
    // Its properties may be set right after it was put into the page.
    queueMicrotask(this.#bell.start)
  }

  disconnectedCallback() {
    queueMicrotask(() => this.isConnected || this.#bell?.stop())
  }
}

const { customElements } = globalThis
customElements?.get('kairan-bell') ?? customElements?.define('kairan-bell', KairanBell)
