/** What the three pages share: who is signed in, and their Kairan client. */
import { createNotifications } from '/client.js'

export const $ = selector => document.querySelector(selector)
export const people = await (await fetch('/people')).json()
export const nameOf = id => people.find(person => person.id === id)?.name ?? id

const params = new URLSearchParams(location.search)
/** One person in this window, perhaps another in the next. */
export const me = people.find(({ id }) => id === params.get('as')) ?? people[0]

let token
const tokenOf = async refresh => {
  if (!token || refresh) {
    const response = await fetch('/session', {
      method: 'POST',
      body: JSON.stringify({ user: me.id }),
    })
    token = (await response.json()).token
  }
  return token
}

/** Has the application do something. */
export const call = async (action, body = {}) => {
  const response = await fetch(`/${action}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await tokenOf()}` },
    body: JSON.stringify(body),
  })
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.detail)
  return answer
}

export const notifications = createNotifications({ key: me.id, auth: tokenOf })

/** An element with properties and children. */
export const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

// The choice of the person, and whether the stream is open, on top of each page.
const links = people.map(({ id, name }) => {
  const link = element('a', { href: `?as=${id}`, textContent: name })
  if (id === me.id) link.ariaCurrent = 'true'
  return link
})
$('#people').append(...links)
const show = () => {
  $('#status').textContent = notifications.status
}
notifications.subscribe(show)
show()
