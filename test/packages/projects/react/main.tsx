/** A page with React's `useInbox`. */
import { createNotifications } from '@kairan/client'
import { useInbox } from '@kairan/client/react'
import { createRoot } from 'react-dom/client'

const query = new URLSearchParams(location.search)
const client = createNotifications({ url: query.get('service') ?? '', key: '42' })

const Inbox = () => {
  const { items, unread, status } = useInbox(client)
  const titles = items.map(({ payload }) => `${payload.title}`)
  return <p id="inbox">{`${status}, ${unread} unread: ${titles.join(', ')}`}</p>
}

const root = document.getElementById('root')
if (root) createRoot(root).render(<Inbox />)
