/** A page of Next.js with React's `useInbox`. */
'use client'
import { createNotifications } from '@kairan/client'
import { useInbox } from '@kairan/client/react'

// Made on the server, too, where it opens no stream.
const client = createNotifications({ url: '/kairan', key: '42' })

// biome-ignore lint/style/noDefaultExport: Next.js asks for it.
export default function Page() {
  const { items, unread, status } = useInbox(client)
  const titles = items.map(({ payload }) => `${payload.title}`)
  return <p id="inbox">{`${status}, ${unread} unread: ${titles.join(', ')}`}</p>
}
