/**
 * The page that says why a user did or did not get a notification. Of a channel that many read, that page asks for the
 * user.
 */
export const explainLink = (notification: string, channel: string) => {
  const user = channel.startsWith('user-') ? channel.slice('user-'.length) : ''
  return `#explain?${new URLSearchParams({ notification, user })}`
}

/** The page with a notification opened. */
export const notificationLink = (id: string) => `#notifications?open=${encodeURIComponent(id)}`
