/** What the pages' other files draw with. */

const toastMs = 6000
const maxToasts = 3

export const $ = selector => document.querySelector(selector)

/** An element with properties, attributes (`data`, `style`) and children. */
export const element = (name, { data, ...properties } = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties)
  Object.assign(made.dataset, data)
  made.append(...children)
  return made
}

export const icon = path => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('aria-hidden', 'true')
  const drawn = document.createElementNS('http://www.w3.org/2000/svg', 'path')
  drawn.setAttribute('d', path)
  svg.append(drawn)
  return svg
}
const bell = 'M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 20.5a2.2 2.2 0 0 0 4 0'
const cross = 'M6 6l12 12M18 6L6 18'

/** Does what a button says, once, and tells when it fails. */
export const attempt = async (button, act) => {
  // Not `disabled`: it would lose the focus.
  if (button.ariaDisabled) return
  button.ariaDisabled = 'true'
  try {
    await act()
  } catch (error) {
    toast('That did not work', error.message)
  } finally {
    button.ariaDisabled = null
  }
}

/** Replaces the items of a list. Who had the focus in one of them keeps it there. */
export const replace = (list, items) => {
  const id = list.contains(document.activeElement)
    ? document.activeElement.closest('li')?.dataset.id
    : undefined
  list.replaceChildren(...items)
  if (id !== undefined)
    items
      .find(item => item.dataset.id === id)
      ?.querySelector('button')
      ?.focus()
}

export const time = iso => element('time', { dateTime: iso, textContent: ago(iso) })

const ago = iso => {
  const minutes = Math.round((Date.now() - new Date(iso)) / 60_000)
  if (minutes < 1) return 'just now'
  if (minutes < 60) return `${minutes} min ago`
  return new Date(iso).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' })
}

setInterval(() => {
  for (const shown of document.querySelectorAll('time')) shown.textContent = ago(shown.dateTime)
}, 30_000)

export const toast = (title, text) => {
  const close = element('button', { type: 'button', className: 'toast-close' }, icon(cross))
  close.setAttribute('aria-label', 'Close')
  const shown = element(
    'div',
    { className: 'toast' },
    element('span', { className: 'toast-icon' }, icon(bell)),
    element('div', {}, title, element('small', { className: 'toast-note', textContent: text })),
    close,
  )
  let timer
  const leave = () => shown.remove()
  const stay = () => clearTimeout(timer)
  const go = () => {
    timer = setTimeout(leave, toastMs)
  }
  close.onclick = leave
  shown.onpointerenter = stay
  shown.onpointerleave = go
  go()
  $('#toasts').append(shown)
  while ($('#toasts').children.length > maxToasts) $('#toasts').firstChild.remove()
}
