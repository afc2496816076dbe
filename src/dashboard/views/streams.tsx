import type { StreamRow } from '../../admin/admin.ts'
import { post } from '../api.ts'
import { count, since, time } from '../format.ts'
import { usePages } from '../pages.ts'
import { Careful, Complaint, Listing, Search } from '../parts.tsx'
import { route, samples } from '../state.ts'

export const Streams = () => {
  const user = route.value.query.get('user') ?? ''
  const channel = route.value.query.get('channel') ?? ''
  const list = usePages(
    'streams',
    { user, channel },
    (answer: { streams: StreamRow[] }) => answer.streams,
  )
  return (
    <>
      <form class="filters" onSubmit={event => event.preventDefault()}>
        <Search
          name="User"
          value={user}
          placeholder="all"
          onSearch={name => show({ user: name, channel })}
        />
        <Search
          name="Channel"
          value={channel}
          placeholder="all"
          onSearch={name => show({ user, channel: name })}
        />
        <button type="button" class="quiet" onClick={list.reload}>
          Refresh
        </button>
        {user && (
          <Careful
            key={user}
            act={async () => {
              await post('disconnect', { userId: user })
              await list.reload()
            }}
          >
            Disconnect this user
          </Careful>
        )}
      </form>
      <Complaint error={list.error.value} />
      <Listing
        list={list}
        columns={['User', 'Channels', 'Address', 'Open for', 'Instance']}
        numbers={['Open for']}
        nothing={nothing(user, channel)}
      >
        {list.rows.value.map(stream => (
          <tr key={stream.id}>
            <td class="wide" data-name="User">
              <a href={linkTo({ user: stream.userId })}>{stream.userId}</a>
            </td>
            <td class="wide" data-name="Channels">
              {stream.channels.map((name, at) => (
                <span key={name}>
                  {at > 0 && ', '}
                  <a href={linkTo({ channel: name })}>{name}</a>
                </span>
              ))}
            </td>
            <td data-name="Address">{stream.address ?? '–'}</td>
            <td class="number" data-name="Open for" title={time(stream.openedAt)}>
              {since(stream.openedAt)}
            </td>
            <td data-name="Instance">
              <code>{stream.instanceId.slice(0, 8)}</code>
            </td>
          </tr>
        ))}
      </Listing>
    </>
  )
}

const linkTo = (filter: { user?: string; channel?: string }) =>
  `#streams?${new URLSearchParams(filter)}`

const show = (filter: { user: string; channel: string }) => {
  location.hash = linkTo(filter)
}

/** Why the list is empty. The streams of an instance that was silent for 10 seconds are not in it. */
const nothing = (user: string, channel: string) => {
  const open = samples.value.at(-1)?.streams ?? 0
  if (channel) return `No stream${user && ` of ${user}`} is on ${channel}.`
  if (user) return `${user} has no stream open.`
  return open === 0
    ? 'No stream is open.'
    : `${count(open, 'stream')} open; the list follows when their instances have written it.`
}
