/** Documents: each that is shown is listened to on its own channel. */
import { $, call, element, me, nameOf, notifications, people } from './app.js'

const stops = new Map()

const load = async () => {
  const documents = await call('documents')
  const ids = new Set(documents.map(({ id }) => id))
  for (const [id, stop] of stops) {
    if (!ids.has(id)) stop()
    if (!ids.has(id)) stops.delete(id)
  }
  for (const { id } of documents) {
    if (!stops.has(id)) stops.set(id, notifications.channel(`doc-${id}`).on('*', edited, load))
  }
  $('#documents').replaceChildren(...documents.map(item))
  $('#empty').hidden = documents.length > 0
}

const edited = ({ payload: { id, body, edited_by: by } }) => {
  const shown = $(`#doc-${id}`)
  if (!shown || by === me.id) return
  shown.querySelector('textarea').value = body
  shown.querySelector('.by').textContent = `Edited by ${nameOf(by)}`
}

const item = ({ id, title, body, people: collaborators }) => {
  const text = element('textarea', { value: body, ariaLabel: title })
  text.oninput = () => call('documents/edit', { id: `${id}`, body: text.value })
  const shares = people
    .filter(person => person.id !== me.id)
    .map(person => {
      const box = element('input', { type: 'checkbox', checked: collaborators.includes(person.id) })
      box.onchange = () =>
        call('documents/share', {
          id: `${id}`,
          person: person.id,
          shared: box.checked ? 'yes' : 'no',
        })
      return element('label', {}, box, ` ${person.name}`)
    })
  return element(
    'li',
    { id: `doc-${id}` },
    element('h2', { textContent: title }),
    text,
    element('p', { className: 'by' }),
    element('p', { className: 'shares' }, 'Shared with: ', ...shares),
  )
}

$('#new').onsubmit = async event => {
  event.preventDefault()
  const { title } = event.target
  await call('documents/new', { title: title.value })
  title.value = ''
  await load()
}

// Another person shares a document: its first edit arrives, as the stream carries what this person may read.
notifications.on('document.edited', ({ payload }) => {
  if (!stops.has(payload.id)) void load()
})
notifications.onControl('gap', load)
await load()
