import { type BellItem, type BellTexts, timeOf } from './bell-words.ts'
import type { Inbox } from './inbox.ts'
import type { InboxItem } from './types.ts'

export type RowOptions = {
  host: HTMLElement
  describe(item: InboxItem): BellItem
  texts: BellTexts
  /** Takes the row away by `act`, says so, and offers to undo it. */
  remove(row: Element, said: string, act: () => unknown, undo: () => void): void
}

/** The row of a notification in a bell's list: what it says, which can be chosen, and what takes it away. */
export const makeRow = (item: InboxItem, inbox: Inbox, options: RowOptions): HTMLElement => {
  const { host, texts } = options
  const { id, type, createdAt } = item
  const { title, text, url } = options.describe(item)
  const add = <Name extends keyof HTMLElementTagNameMap>(
    parent: Node,
    name: Name,
    text: string,
    className = '',
  ) => {
    const element = document.createElement(name)
    element.textContent = text
    element.className = className
    parent.appendChild(element)
    return element
  }
  const row = document.createElement('li')
  const page = url && pageOf(url)
  const link = add(row, page ? 'a' : 'button', '', 'item')
  if (page) link.setAttribute('href', page)
  link.part.add('item')
  add(link, 'span', texts.new, 'said')
  add(link, 'strong', title)
  if (text) add(link, 'span', text)
  const time = timeOf(createdAt, host.closest<HTMLElement>('[lang]')?.lang)
  add(link, 'time', time).dateTime = createdAt
  link.addEventListener('click', event => {
    void inbox.markRead([id])
    const chosen = new CustomEvent('kairan-select', { detail: item, cancelable: true })
    if (!host.dispatchEvent(chosen)) event.preventDefault()
  })
  const away = (sign: string, name: string, said: string, act: () => unknown, undo: () => void) => {
    const button = add(row, 'button', sign, 'act')
    button.ariaLabel = button.title = name
    button.addEventListener('click', () => options.remove(row, said, act, undo))
  }
  away(
    '×',
    `${texts.archive}: ${title}`,
    texts.archived,
    () => inbox.archive([id]),
    () => inbox.unarchive([id]),
  )
  if (type) {
    away(
      '⊘',
      `${texts.mute}: ${type}`,
      texts.muted,
      () => inbox.mute(type),
      () => inbox.unmute(type),
    )
  }
  return row
}

/** The address of a page: a link may lead to one, and run no script. */
const pageOf = (url: string) => /^https?:.*/.exec(URL.parse(url, document.baseURI)?.href ?? '')?.[0]
