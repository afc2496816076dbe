import { useSignal } from '@preact/signals'
import { type FollowUpRow, followUpStates } from '../../admin/follow-ups.ts'
import { post } from '../api.ts'
import { time } from '../format.ts'
import { notificationLink } from '../links.ts'
import { usePages } from '../pages.ts'
import { Badge, Careful, Complaint, Field, Listing, Search } from '../parts.tsx'
import { route } from '../state.ts'

/** What was not received in time, and what became of it; newest first. */
export const FollowUps = () => {
  const filter = useSignal({
    state: route.value.query.get('state') ?? '',
    user: route.value.query.get('user') ?? '',
  })
  const list = usePages(
    'follow-ups',
    filter.value,
    (answer: { followUps: FollowUpRow[] }) => answer.followUps,
  )
  return (
    <>
      <form class="filters" onSubmit={event => event.preventDefault()}>
        <Field name="State">
          <select
            value={filter.value.state}
            onChange={({ currentTarget: { value } }) => {
              filter.value = { ...filter.value, state: value }
            }}
          >
            <option value="">all</option>
            {followUpStates.map(state => (
              <option key={state} value={state}>
                {state.replace('_', ' ')}
              </option>
            ))}
          </select>
        </Field>
        <Search
          name="User"
          value={filter.value.user}
          placeholder="42"
          onSearch={user => {
            filter.value = { ...filter.value, user }
          }}
        />
      </form>
      <Complaint error={list.error.value} />
      <Listing
        list={list}
        columns={['Due', 'User', 'Notification', 'State', 'Attempts', 'What happened']}
        numbers={['Attempts']}
        nothing="No such follow-up. They are made of what was published with follow_up_after and not received."
      >
        {list.rows.value.map(row => (
          <Row key={row.id} row={row} reload={list.reload} />
        ))}
      </Listing>
    </>
  )
}

const Row = ({ row, reload }: { row: FollowUpRow; reload(): Promise<void> }) => (
  <tr>
    <td data-name="Due">{time(row.dueAt)}</td>
    <td class="wide" data-name="User">
      {row.userId}
    </td>
    <td class="wide" data-name="Notification">
      <a href={notificationLink(row.notificationId)}>{row.type ?? row.notificationId}</a>
    </td>
    <td data-name="State">
      <Badge status={row.state.replace('_', ' ')} />
    </td>
    <td class="number" data-name="Attempts">
      {row.attempts}
    </td>
    <td class="wide" data-name="What happened">
      {happened(row)}{' '}
      {row.state === 'given_up' && (
        <Careful
          act={async () => {
            await post('follow-ups/retry', { id: row.id })
            await reload()
          }}
        >
          Try again
        </Careful>
      )}
    </td>
  </tr>
)

const happened = ({ state, takenAt, takenBy, availableAt, finishedAt, error }: FollowUpRow) => {
  if (state === 'finished') return `done ${time(finishedAt ?? '')} by ${takenBy ?? 'hand'}`
  if (state === 'given_up') return `${error}`
  if (takenAt === null) return '–'
  return error === null
    ? `taken ${time(takenAt)} by ${takenBy}`
    : `${error}; again after ${time(availableAt)}`
}
