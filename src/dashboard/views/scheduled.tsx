import { useSignal } from '@preact/signals'
import { type ScheduledRow, scheduledStates } from '../../admin/scheduled.ts'
import { post } from '../api.ts'
import { count, time } from '../format.ts'
import { explainLink, notificationLink } from '../links.ts'
import { usePages } from '../pages.ts'
import { Badge, Careful, Complaint, Field, Listing, Search } from '../parts.tsx'
import { route } from '../state.ts'

/** What is sent later, and what could not be; what is due first stands first. */
export const Scheduled = () => {
  const { query } = route.value
  const filter = useSignal({
    state: query.get('state') ?? '',
    channel: query.get('channel') ?? '',
    type: query.get('type') ?? '',
  })
  const set = (changed: Partial<typeof filter.value>) => {
    filter.value = { ...filter.value, ...changed }
  }
  const list = usePages(
    'scheduled',
    filter.value,
    (answer: { scheduled: ScheduledRow[] }) => answer.scheduled,
  )
  return (
    <>
      <form class="filters" onSubmit={event => event.preventDefault()}>
        <Field name="State">
          <select
            value={filter.value.state}
            onChange={({ currentTarget: { value } }) => set({ state: value })}
          >
            <option value="">all</option>
            {scheduledStates.map(state => (
              <option key={state} value={state}>
                {state}
              </option>
            ))}
          </select>
        </Field>
        <Search
          name="Channel"
          value={filter.value.channel}
          placeholder="user-42"
          onSearch={channel => set({ channel })}
        />
        <Search
          name="Type"
          value={filter.value.type}
          placeholder="order.shipped"
          onSearch={type => set({ type })}
        />
        <button type="button" class="quiet" onClick={list.reload}>
          Refresh
        </button>
      </form>
      <Complaint error={list.error.value} />
      <Listing
        list={list}
        columns={['Due', 'Channels', 'Type', 'Scheduled', 'State']}
        nothing={
          list.next.value === null
            ? 'Nothing like that is scheduled. It is what was published with send_at.'
            : 'None of the 5,000 that are due first matches.'
        }
        more={list.rows.value.length === 0 ? 'Search later ones' : 'More'}
      >
        {list.rows.value.map(row => (
          <Row key={row.id} row={row} reload={list.reload} />
        ))}
      </Listing>
    </>
  )
}

const Row = ({ row, reload }: { row: ScheduledRow; reload(): Promise<void> }) => (
  <tr>
    <td class="wide" data-name="Due">
      {time(row.sendAt)}
    </td>
    <td class="wide" data-name="Channels">
      {channelsOf(row)}
    </td>
    <td class="wide" data-name="Type">
      <a href={notificationLink(row.id)}>{row.type ?? row.id}</a>
    </td>
    <td class="wide" data-name="Scheduled">
      {time(row.createdAt)} by {row.publisher}
    </td>
    <td class="wide" data-name="State">
      <Badge status={row.state} /> {row.error}{' '}
      <a class="among" href={explainLink(row.id, row.channels[0] ?? '')}>
        Explain
      </a>{' '}
      {row.state !== 'failed' && (
        <Careful
          act={async () => {
            await post('withdraw', { notification: row.id })
            await reload()
          }}
        >
          Withdraw
        </Careful>
      )}
    </td>
  </tr>
)

const channelsOf = ({ channels, channelCount }: ScheduledRow) => {
  const shown = channels.slice(0, 3)
  const others = channelCount - shown.length
  return `${shown.join(', ')}${others > 0 ? ` and ${count(others, 'other')}` : ''}`
}
