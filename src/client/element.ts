import { style } from './element-style.ts'
import { createInbox, type Inbox } from './inbox.ts'
import { createClient } from './index.ts'
import type { InboxItem, Notifications, Options } from './types.ts'

const defaults = {
  title: 'Notifications',
  /** `{n}` stands for the number. */
  unread: '{n} unread',
  unseen: '{n} new',
  new: 'Unread',
  archive: 'Archive',
  archived: 'Archived',
  mute: 'Mute',
  muted: 'Muted',
  undo: 'Undo',
  markAll: 'Mark all as read',
  more: 'Load more',
  loading: 'Loading…',
  empty: 'No notifications',
  error: 'Something went wrong.',
  retry: 'Try again',
  offline: 'You are offline.',
}

/** The texts of a bell. */
export type BellTexts = typeof defaults

/** What a bell shows of a notification. With `url` it is a link. */
export type BellItem = { title: string; text?: string | undefined; url?: string | undefined }

const textOf = (value: unknown) => (typeof value === 'string' && value ? value : undefined)

const describe = ({ payload, type }: InboxItem): BellItem => ({
  title: textOf(payload.title) ?? type ?? '',
  text: textOf(payload.body),
  url: textOf(payload.url),
})

/** Nobody loops over the events of a bell's own client: the code for it stays out. */
const noLoop = () => {
  throw new Error()
}

/** A link may lead to a page, and run no script. */
const isPage = (url: string) => /^https?:$/.test(URL.parse(url, document.baseURI)?.protocol ?? '')

const html = `<style>${style}</style>
<button id="bell" part="button" aria-controls="panel" aria-expanded="false"><svg viewBox="0 0 24 24" aria-hidden="true">
<path d="M6 10a6 6 0 0 1 12 0v4l2 3H4l2-3zM10 20h4"/></svg><span id="badge" part="badge" aria-hidden="true"></span></button>
<span id="said" class="said" role="status"></span>
<div id="panel" part="panel" role="dialog" aria-labelledby="title" tabindex="-1" hidden>
<header><h2 id="title"></h2><button id="all" class="act"></button></header>
<p id="note" role="status"></p><button id="retry" class="act"></button><ul id="list"></ul>
<button id="more" class="act"></button></div>`

// A server has no elements, but may import this file.
const Base = globalThis.HTMLElement ?? (class {} as unknown as typeof HTMLElement)

/**
 * `<kairan-bell>`: a button with the number of unseen notifications, and the list that it opens, which makes them seen.
 * Its attributes are `url` and `user` (the `url` and `key` of a client), `limit`, and `mark="open"` where opening it marks
 * all as read, too. It fires
 * `kairan-select` with the notification as `detail` when one is chosen; cancelled, its link is not followed.
 */
export class KairanBell extends Base {
  #auth: Options['auth']
  #client: Notifications | undefined
  #describe = describe
  #texts = defaults
  #inbox: Inbox | undefined
  #stop: (() => void) | undefined
  #unseen = 0
  /** What was done last, in words, and how it is undone. */
  #done: [said: string, undo: () => void] | undefined
  #rows = new Map<string, HTMLLIElement>()

  /** Gives the token of the user. Without it the cookie is used. */
  set auth(auth: Options['auth']) {
    this.#auth = auth
    this.#restart()
  }

  /** A client of the application. Without it, the bell makes one, and closes it when it leaves the page. */
  set client(client: Notifications | undefined) {
    this.#client = client
    this.#restart()
  }

  /** Says what is shown of a notification. By default that is `title`, `body` and `url` of its payload. */
  set describe(of: (item: InboxItem) => BellItem) {
    this.#describe = of
    this.#rows.clear()
    this.#draw()
  }

  /** Some of the texts, in another language. */
  set texts(texts: Partial<BellTexts>) {
    this.#texts = { ...defaults, ...texts }
    this.#rows.clear()
    this.#draw()
  }

  connectedCallback() {
    if (!this.shadowRoot) this.#build()
    // What was set before the browser knew the element.
    for (const name of ['auth', 'client', 'describe', 'texts']) {
      const value = Object.getOwnPropertyDescriptor(this, name)?.value
      if (Reflect.deleteProperty(this, name) && value) Reflect.set(this, name, value)
    }
    // Its properties may be set right after it was put into the page.
    queueMicrotask(() => this.#stop || this.#restart())
  }

  disconnectedCallback() {
    queueMicrotask(() => this.isConnected || this.#end())
  }

  #end() {
    this.#stop?.()
    this.#stop = undefined
  }

  #restart() {
    this.#end()
    if (!this.isConnected || !this.shadowRoot) return
    const url = this.getAttribute('url')
    const key = this.getAttribute('user')
    const made =
      this.#client ??
      createClient(
        {
          ...(url && { url }),
          ...(key && { key }),
          ...(this.#auth && { auth: this.#auth }),
        },
        noLoop,
      )
    this.#inbox = createInbox(made, { limit: Number(this.getAttribute('limit')) || 20 })
    const leave = this.#inbox.subscribe(() => this.#draw())
    const onClick = ({ target }: Event) => target instanceof Node && this.#leaveFor(target)
    document.addEventListener('pointerdown', onClick)
    this.#stop = () => {
      leave()
      document.removeEventListener('pointerdown', onClick)
      if (made !== this.#client) made.close()
    }
    this.#draw()
  }

  #get(id: string) {
    const found = this.shadowRoot?.getElementById(id)
    if (!found) throw new Error(id)
    return found
  }

  #build() {
    this.attachShadow({ mode: 'open' }).innerHTML = html
    const on = (id: string, run: () => void) => this.#get(id).addEventListener('click', run)
    on('bell', () => this.#show(Boolean(this.#get('panel').hidden)))
    on('all', () => this.#inbox?.markAllRead())
    on('retry', () => {
      const undo = this.#done?.[1]
      this.#offer()
      if (undo) undo()
      else this.#inbox?.reload()
    })
    on('more', () => this.#inbox?.loadMore())
    this.addEventListener('keydown', event => this.#press(event))
    this.addEventListener('focusout', ({ relatedTarget }) => {
      if (relatedTarget instanceof Node) this.#leaveFor(relatedTarget)
    })
  }

  /** Closes the list when another part of the page gets a click or the focus. */
  #leaveFor(target: Node) {
    if (!this.contains(target)) this.#show(false)
  }

  #show(isOpen: boolean) {
    const panel = this.#get('panel')
    panel.hidden = !isOpen
    this.#get('bell').ariaExpanded = `${isOpen}`
    if (!isOpen) return this.#offer()
    panel.style.translate = ''
    const { left, right } = panel.getBoundingClientRect()
    const edge = document.documentElement.clientWidth
    panel.style.translate = `${Math.max(0, -left) + Math.min(0, edge - right)}px`
    panel.focus()
    this.#draw()
    if (this.getAttribute('mark') === 'open') this.#inbox?.markAllRead()
  }

  #press(event: KeyboardEvent) {
    const { key } = event
    if (this.#get('panel').hidden) return
    if (key === 'Escape') {
      this.#show(false)
      this.#get('bell').focus()
    }
    const items = [...this.#get('list').querySelectorAll<HTMLElement>('.item')]
    const at = items.findIndex(item => item.parentElement?.matches(':focus-within'))
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[key]
    if (to === undefined) return
    event.preventDefault()
    items.at(Math.max(0, Math.min(to, items.length - 1)))?.focus()
  }

  #draw() {
    if (!this.#inbox || !this.shadowRoot) return
    const { items, unread, unseen, status, hasMore, error, isLive } = this.#inbox.state
    const texts = this.#texts
    const fill = (text: string, n: number) => text.replace('{n}', n > 99 ? '99+' : `${n}`)
    // Who looks at the list has seen what comes meanwhile.
    const isOpen = !this.#get('panel').hidden && !document.hidden
    if (isOpen) void this.#inbox.markSeen()
    const count = (!isOpen && unseen) || 0
    const say = fill(texts.unseen, count)
    const set = (id: string, text: string, isShown = true) => {
      const element = this.#get(id)
      if (element.textContent !== text) element.textContent = text
      if (!isShown && element.matches(':focus')) this.#get('panel').focus()
      element.hidden = !isShown
    }
    const parts = [texts.title, unread && fill(texts.unread, unread), count && say]
    this.#get('bell').ariaLabel = parts.filter(Boolean).join(', ')
    set('badge', fill('{n}', count), count > 0)
    if (count > this.#unseen) set('said', say)
    this.#unseen = count
    set('title', texts.title)
    set('all', texts.markAll, !!unread)
    const said = error ? undefined : this.#done?.[0]
    set('retry', said ? texts.undo : texts.retry, !!(error ?? said))
    set('more', texts.more, hasMore)
    const quiet = items.length ? '' : texts.empty
    const calm = status === 'loading' ? texts.loading : isLive ? quiet : texts.offline
    const note = error ? texts.error : (said ?? calm)
    set('note', note, note !== '')
    this.#get('list').hidden = items.length === 0
    this.#drawRows(items)
  }

  /** Offers to undo what was done last; without it, no longer. */
  #offer(done?: [said: string, undo: () => void]) {
    this.#done = done
    this.#draw()
  }

  /** Does what takes a row away, and gives the focus to its neighbour. */
  #remove(row: HTMLElement, said: string, act: () => unknown, undo: () => void) {
    const next = row.nextElementSibling ?? row.previousElementSibling
    act()
    this.#offer([said, undo])
    const item = next?.querySelector<HTMLElement>('.item') ?? this.#get('panel')
    item.focus()
  }

  #drawRows(items: readonly InboxItem[]) {
    const rows = items.map(item => {
      const row = this.#rows.get(`${item.id}`) ?? this.#makeRow(item)
      row.className = item.read ? '' : 'new'
      const [mark] = row.getElementsByClassName('said')
      if (mark) mark.textContent = item.read ? '' : this.#texts.new
      return [`${item.id}`, row] as const
    })
    this.#rows = new Map(rows)
    const list = this.#get('list')
    // What is in its place is not moved: it may have the focus.
    for (const row of [...list.children]) if (!rows.some(([, kept]) => kept === row)) row.remove()
    rows.forEach(([, row], at) => {
      if (list.children[at] !== row) list.insertBefore(row, list.children[at] ?? null)
    })
  }

  #makeRow(item: InboxItem) {
    const { title, text, url } = this.#describe(item)
    const add = <Name extends keyof HTMLElementTagNameMap>(parent: Node, name: Name, text = '') => {
      const element = document.createElement(name)
      element.textContent = text
      parent.appendChild(element)
      return element
    }
    const row = document.createElement('li')
    const link = url !== undefined && isPage(url) ? add(row, 'a') : add(row, 'button')
    if (link instanceof HTMLAnchorElement && url !== undefined) link.href = url
    link.className = 'item'
    link.part.add('item')
    add(link, 'span').className = 'said'
    add(link, 'strong', title)
    if (text) add(link, 'span', text)
    const time = add(
      link,
      'time',
      timeOf(item.createdAt, this.closest<HTMLElement>('[lang]')?.lang),
    )
    time.dateTime = item.createdAt
    link.addEventListener('click', event => {
      if (item.id !== null) void this.#inbox?.markRead([item.id])
      const chosen = new CustomEvent('kairan-select', { detail: item, cancelable: true })
      if (!this.dispatchEvent(chosen)) event.preventDefault()
    })
    const { id, type } = item
    const texts = this.#texts
    const away = (
      sign: string,
      name: string,
      said: string,
      act: () => unknown,
      undo: () => void,
    ) => {
      const button = add(row, 'button', sign)
      button.className = 'act'
      button.ariaLabel = button.title = name
      button.addEventListener('click', () => this.#remove(row, said, act, undo))
    }
    if (id) {
      away(
        '×',
        `${texts.archive}: ${title}`,
        texts.archived,
        () => this.#inbox?.archive([id]),
        () => this.#inbox?.unarchive([id]),
      )
    }
    if (type) {
      away(
        '⊘',
        `${texts.mute}: ${type}`,
        texts.muted,
        () => this.#inbox?.mute(type),
        () => this.#inbox?.unmute(type),
      )
    }
    return row
  }
}

const timeOf = (moment: string, lang?: string) => {
  const show = (locale?: string) =>
    new Date(moment).toLocaleString(locale, { dateStyle: 'medium', timeStyle: 'short' })
  try {
    return show(lang)
  } catch {
    return show('en') // The page's language is no valid tag.
  }
}

globalThis.customElements?.get('kairan-bell') ??
  globalThis.customElements?.define('kairan-bell', KairanBell)
