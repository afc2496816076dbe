import { type BellItem, type BellTexts, timeOf } from './bell-words.ts'
import type { Inbox } from './inbox.ts'
import type { InboxItem } from './types.ts'

export type RowOptions = {
  host: HTMLElement
  describe(item: InboxItem): BellItem
  texts: BellTexts
  inbox(): Inbox | undefined
  /** Takes the row away by `act`, says so, and offers to undo it. */
  remove(row: Element, said: string, act: () => unknown, undo: () => void): void
}

/** The row of a notification in a bell's list: what it says, which can be chosen, and what takes it away. */
export const makeRow = (item: InboxItem, options: RowOptions): HTMLElement => {
  const { host, texts, inbox } = options
  const { id, type, createdAt } = item
  const { title, text, url } = options.describe(item)
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
  const time = timeOf(createdAt, host.closest<HTMLElement>('[lang]')?.lang)
  add(link, 'time', time).dateTime = createdAt
  link.addEventListener('click', event => {
    void inbox()?.markRead([id])
    const chosen = new CustomEvent('kairan-select', { detail: item, cancelable: true })
    if (!host.dispatchEvent(chosen)) event.preventDefault()
  })
  const away = (sign: string, name: string, said: string, act: () => unknown, undo: () => void) => {
    const button = add(row, 'button', sign)
    button.className = 'act'
    button.ariaLabel = button.title = name
    button.addEventListener('click', () => options.remove(row, said, act, undo))
  }
  away(
    '×',
    `${texts.archive}: ${title}`,
    texts.archived,
    () => inbox()?.archive([id]),
    () => inbox()?.unarchive([id]),
  )
  if (type) {
    away(
      '⊘',
      `${texts.mute}: ${type}`,
      texts.muted,
      () => inbox()?.mute(type),
      () => inbox()?.unmute(type),
    )
  }
  return row
}

/** A link may lead to a page, and run no script. */
const isPage = (url: string) => /^https?:$/.test(URL.parse(url, document.baseURI)?.protocol ?? '')
