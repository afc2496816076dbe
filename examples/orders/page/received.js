import { tokenOf } from '/session.js'

/** Says that somebody has had this notification before their eyes, so that no e-mail follows. */
export const received = async id => {
  if (document.hidden) return
  const response = await fetch('/notifications/receipts', {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await tokenOf(false)}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ ids: [id] }),
  })
  // It matters little: at worst an e-mail says what the page has said.
  if (!response.ok) console.warn('The receipt was not taken:', response.status)
}
