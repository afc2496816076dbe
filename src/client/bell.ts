import { html, style } from './bell-looks.ts'
import { makeRow, type RowOptions } from './bell-row.ts'
import { createClient } from './client.ts'
import { createInbox, type Inbox } from './inbox.ts'
import type { BellClient } from './inbox-types.ts'
import type { InboxItem, Options } from './types.ts'

/** What is behind a `<kairan-bell>`. */
export type Bell = {
  /** Starts it, if it is in the page and has not started. */
  start(): void
  stop(): void
  /** Starts it again, after its client or the token has changed. */
  restart(): void
  /** Draws all again, after what it says has changed. */
  redraw(): void
}

/** Nobody loops over the events of a bell's own client: the code for it stays out. */
const noLoop = () => {
  throw new Error()
}

/** Builds a bell in its element. `options` are the element's, and may change. */
export const createBell = (
  host: HTMLElement,
  options: Pick<RowOptions, 'describe' | 'texts'> & {
    auth?: Options['auth']
    client?: BellClient | undefined
  },
): Bell => {
  const root = host.attachShadow({ mode: 'open' })
  // A page's policy may forbid a style element, but not this.
  const sheet = new CSSStyleSheet()
  sheet.replaceSync(style)
  root.adoptedStyleSheets = [sheet]
  root.innerHTML = html
  const get = (id: string) => root.getElementById(id) as HTMLElement
  const attribute = (name: string) => host.getAttribute(name) || undefined
  const [bell, panel, list] = [get('bell'), get('panel'), get('list')]

  let inbox: Inbox | undefined
  let end: (() => void) | undefined
  let lastUnseen = 0
  /** What was done last, in words, and how it is undone. */
  let done: [said: string, undo: () => void] | undefined
  let rows = new Map<unknown, Element>()

  const stop = () => {
    end?.()
    end = undefined
  }

  const restart = () => {
    stop()
    if (!host.isConnected) return
    const { auth, client } = options
    const url = attribute('url')
    const made = client ?? createClient({ url, key: attribute('user'), auth }, noLoop)
    inbox = createInbox(made, { limit: Number(attribute('limit')) || 20 })
    const leave = inbox.subscribe(draw)
    document.addEventListener('pointerdown', closeFor)
    end = () => {
      leave()
      document.removeEventListener('pointerdown', closeFor)
      if (made !== client) made.close()
    }
    draw()
  }

  /** Closes the list when another part of the page gets a click or the focus. */
  const closeFor = ({ target }: { target: unknown }) => {
    if (target instanceof Node && !host.contains(target)) show(false)
  }

  const show = (isOpen: boolean) => {
    panel.hidden = !isOpen
    bell.ariaExpanded = `${isOpen}`
    if (!isOpen) return offer()
    panel.style.translate = ''
    const { left, right } = panel.getBoundingClientRect()
    const edge = document.documentElement.clientWidth
    panel.style.translate = `${Math.max(0, -left) + Math.min(0, edge - right)}px`
    panel.focus()
    draw()
    if (attribute('mark') === 'open') inbox?.markAllRead()
  }

  const press = (event: KeyboardEvent) => {
    const { key } = event
    if (panel.hidden) return
    if (key === 'Escape') {
      show(false)
      bell.focus()
    }
    const items = [...list.querySelectorAll<HTMLElement>('.item')]
    const at = items.findIndex(item => item.parentElement?.matches(':focus-within'))
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[key]
    if (to === undefined) return
    event.preventDefault()
    items.at(Math.max(0, to))?.focus()
  }

  const draw = () => {
    if (!inbox) return
    const { items, unread, unseen, status, hasMore, error, isLive } = inbox.state
    const { texts } = options
    const fill = (text: string, n: number) => text.replace('{n}', n > 99 ? '99+' : `${n}`)
    // Who looks at the list has seen what comes meanwhile.
    const isOpen = !panel.hidden && !document.hidden
    if (isOpen) void inbox.markSeen()
    const count = (!isOpen && unseen) || 0
    const say = fill(texts.unseen, count)
    const set = (id: string, text: string, isShown = true) => {
      const element = get(id)
      if (element.textContent !== text) element.textContent = text
      if (!isShown && element.matches(':focus')) panel.focus()
      element.hidden = !isShown
    }
    const parts = [texts.title, unread && fill(texts.unread, unread), count && say]
    bell.ariaLabel = parts.filter(Boolean).join(', ')
    set('badge', fill('{n}', count), count > 0)
    if (count > lastUnseen) set('said', say)
    lastUnseen = count
    set('title', texts.title)
    set('all', texts.markAll, !!unread)
    const said = error ? undefined : done?.[0]
    set('retry', said ? texts.undo : texts.retry, !!(error ?? said))
    set('more', texts.more, hasMore)
    const quiet = items.length ? '' : texts.empty
    const calm = status === 'loading' ? texts.loading : isLive ? quiet : texts.offline
    const note = error ? texts.error : (said ?? calm)
    set('note', note, note !== '')
    list.hidden = items.length === 0
    drawRows(inbox, items)
  }

  const drawRows = (inbox: Inbox, items: readonly InboxItem[]) => {
    const drawn = items.map((item): Element => {
      const row = rows.get(item.id) ?? makeRow(item, inbox, { ...options, host, remove })
      row.className = item.read ? '' : 'new'
      return row
    })
    rows = new Map(drawn.map((row, at) => [items[at]?.id, row]))
    // What is in its place is not moved: it may have the focus.
    for (const row of [...list.children]) drawn.includes(row) || row.remove()
    drawn.forEach((row, at) => {
      const there = list.children.item(at)
      if (there !== row) list.insertBefore(row, there)
    })
  }

  /** Offers to undo what was done last; without it, no longer. */
  const offer = (last?: typeof done) => {
    done = last
    draw()
  }

  /** Does what takes a row away, and gives the focus to its neighbour. */
  const remove: RowOptions['remove'] = (row, said, act, undo) => {
    const next = row.nextElementSibling ?? row.previousElementSibling
    act()
    offer([said, undo])
    const item = next?.querySelector<HTMLElement>('.item') ?? panel
    item.focus()
  }

  const on = (id: string, run: () => void) => get(id).addEventListener('click', run)
  on('bell', () => show(Boolean(panel.hidden)))
  on('all', () => inbox?.markAllRead())
  on('retry', () => {
    const undo = done?.[1]
    offer()
    if (undo) undo()
    else inbox?.reload()
  })
  on('more', () => inbox?.loadMore())
  host.addEventListener('keydown', press)
  host.addEventListener('focusout', ({ relatedTarget }) => closeFor({ target: relatedTarget }))

  return {
    start: () => end || restart(),
    stop,
    restart,
    redraw() {
      rows.clear()
      draw()
    },
  }
}
