export const people = await (await fetch('/users')).json()
/** Who is signed in: one person in this window, perhaps another in the next. Undefined before anybody is. */
export const me = people.find(({ id }) => id === new URLSearchParams(location.search).get('as'))
export const isAdmin = me?.role_level >= 100
let token

/** The token of who is signed in: the shop signs it, and Kairan believes the shop. */
export const tokenOf = async refresh => {
  if (token && !refresh) return token
  const response = await fetch('/session', {
    method: 'POST',
    body: JSON.stringify({ user: me.id }),
  })
  if (!response.ok) throw new Error('Nobody is signed in.')
  token = (await response.json()).token
  return token
}

/** Asks the shop for something, as who is signed in. Rejects with what it says. */
export const call = async (path, body) => {
  const ask = async refresh =>
    fetch(path, {
      headers: { authorization: `Bearer ${await tokenOf(refresh)}` },
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    })
  let response = await ask(false)
  if (response.status === 401) response = await ask(true)
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.detail)
  return answer
}
