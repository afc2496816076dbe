import { tokenFor } from './service.ts'

/** Requests a ticket, like the page of a signed-in user. */
export const askTicket = async (
  url: string,
  user: string,
  options: { body?: object; seconds?: number } = {},
) =>
  fetch(`${url}/notifications/tickets`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await tokenFor(user, options.seconds)}`,
      'content-type': 'application/json',
    },
    ...(options.body ? { body: JSON.stringify(options.body) } : {}),
  })

/** A ticket of a user. */
export const ticketFor = async (...args: Parameters<typeof askTicket>) => {
  const { ticket }: { ticket: string } = await (await askTicket(...args)).json()
  return ticket
}
