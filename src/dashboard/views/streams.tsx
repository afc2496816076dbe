import type { StreamRow } from '../../admin/admin.ts'
import { post } from '../api.ts'
import { since, time } from '../format.ts'
import { usePages } from '../pages.ts'
import { Careful, Complaint, Field } from '../parts.tsx'
import { route } from '../state.ts'

export const Streams = () => {
  const user = route.value.query.get('user') ?? ''
  const list = usePages('streams', { user }, (answer: { streams: StreamRow[] }) => answer.streams)
  return (
    <>
      <form class="filters" onSubmit={event => event.preventDefault()}>
        <Field name="User">
          <input
            type="search"
            value={user}
            placeholder="all"
            onChange={({ currentTarget }) => {
              location.hash = `streams?user=${encodeURIComponent(currentTarget.value.trim())}`
            }}
          />
        </Field>
        <button type="button" class="quiet" onClick={list.reload}>
          Refresh
        </button>
        {user && (
          <Careful
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
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>User</th>
              <th>Channels</th>
              <th>Address</th>
              <th class="number">Open for</th>
              <th>Instance</th>
            </tr>
          </thead>
          <tbody>
            {list.rows.value.map(stream => (
              <tr key={stream.id}>
                <td>
                  <a href={`#streams?user=${encodeURIComponent(stream.userId)}`}>{stream.userId}</a>
                </td>
                <td class="wide">{stream.channels.join(', ')}</td>
                <td>{stream.address ?? '–'}</td>
                <td class="number" title={time(stream.openedAt)}>
                  {since(stream.openedAt)}
                </td>
                <td>
                  <code>{stream.instanceId.slice(0, 8)}</code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {list.rows.value.length === 0 && list.state.value === 'idle' && (
        <p class="empty">No stream is open.</p>
      )}
      {list.next.value !== null && (
        <button type="button" class="quiet more" onClick={list.more}>
          More
        </button>
      )}
    </>
  )
}
