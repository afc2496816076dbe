/** A chat room: messages, and who is there. */
import { $, call, element, nameOf, notifications } from './app.js'

const shown = new Set()

const show = ({ id, person_id: person, text }) => {
  if (shown.has(id)) return
  shown.add(id)
  const line = element('li', {}, element('b', { textContent: nameOf(person) }), ` ${text}`)
  $('#messages').append(line)
  line.scrollIntoView({ block: 'nearest' })
}

const load = async () => {
  for (const message of await call('room/messages')) show(message)
}

const present = async () => {
  const users = await call('room/present')
  $('#present').textContent = users.map(({ user_id: id }) => nameOf(id)).join(', ')
}

$('#say').onsubmit = async event => {
  event.preventDefault()
  const { text } = event.target
  const said = text.value
  text.value = ''
  await call('room/say', { text: said })
}

notifications.channel('room-lobby').on('message', ({ payload }) => show(payload))
notifications.onControl('gap', load)
await load()
await present()
setInterval(present, 1000)
