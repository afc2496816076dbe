import type { DeliveryRow, Matching, NotificationDetail, Step } from '../../admin/admin.ts'
import { useAnswer } from '../answer.ts'
import { get, post } from '../api.ts'
import { bytes, count, time } from '../format.ts'
import { explainLink } from '../links.ts'
import { usePages } from '../pages.ts'
import { Badge, Careful, Complaint, Field, Listing, Progress, Search } from '../parts.tsx'
import { route } from '../state.ts'

const names = ['channel', 'type', 'status', 'payload', 'since', 'until'] as const

export const Notifications = () => {
  const { query } = route.value
  const filter = Object.fromEntries(names.map(name => [name, query.get(name) ?? '']))
  const list = usePages(
    'deliveries',
    inUtc(filter),
    (answer: { deliveries: DeliveryRow[] }) => answer.deliveries,
  )
  const open = query.get('open')
  const at = placeOf(list.rows.value, open, query.get('at'))
  const go = (changed: Record<string, string>) => {
    const filled = Object.entries({ ...filter, ...changed }).filter(([, value]) => value !== '')
    location.hash = `notifications?${new URLSearchParams(filled)}`
  }
  const set =
    (name: (typeof names)[number]) =>
    ({ currentTarget }: { currentTarget: HTMLInputElement | HTMLSelectElement }) =>
      go({ [name]: currentTarget.value.trim() })
  return (
    <>
      <form class="filters" onSubmit={event => event.preventDefault()}>
        <Search
          name="Id"
          value={open}
          placeholder="of a notification"
          onSearch={id => go({ open: id })}
        />
        <Search
          name="Channel"
          value={filter.channel}
          placeholder="user-42"
          onSearch={channel => go({ channel })}
        />
        <Search
          name="Type"
          value={filter.type}
          placeholder="order.shipped"
          onSearch={type => go({ type })}
        />
        <Search
          name="Payload"
          value={filter.payload}
          placeholder={'text, or {"orderId": 7}'}
          maxLength={200}
          onSearch={payload => go({ payload })}
        />
        <Field name="Status">
          <select value={filter.status} onChange={set('status')}>
            <option value="">all</option>
            <option>pending</option>
            <option>delivered</option>
            <option>failed</option>
          </select>
        </Field>
        <Field name="From">
          <input type="datetime-local" value={filter.since} onChange={set('since')} />
        </Field>
        <Field name="To">
          <input type="datetime-local" value={filter.until} onChange={set('until')} />
        </Field>
        <button type="button" class="quiet" onClick={list.reload}>
          Refresh
        </button>
        <Progress
          name="Redeliver all of these"
          of={JSON.stringify(filter)}
          ask={() => askFirst(inUtc(filter))}
          step={before =>
            post<Step>('redeliver', { ...inUtc(filter), before: before ?? '', limit: 100 })
          }
        />
      </form>
      <Complaint error={list.error.value} />
      {open && at === null && <Detail id={open} close={() => go({})} />}
      <Listing
        list={list}
        columns={['Published', 'Channel', 'Type', 'Status', 'Streams', 'Size', 'Details']}
        numbers={['Streams', 'Size']}
        nothing={
          list.next.value === null
            ? 'No delivery matches.'
            : `No delivery among the newest ${filter.payload ? '1,000' : '5,000'} matches.`
        }
        more={list.rows.value.length === 0 ? 'Search older deliveries' : 'More'}
      >
        {list.rows.value.flatMap(delivery => [
          <tr key={delivery.seq}>
            <td data-name="Published">{time(delivery.createdAt)}</td>
            <td class="wide" data-name="Channel">
              {delivery.channel}
            </td>
            <td class="wide" data-name="Type">
              {delivery.type ?? '–'}
            </td>
            <td class="wide" data-name="Status">
              <Badge status={delivery.status} /> {delivery.error}
            </td>
            <td class="number" data-name="Streams">
              {delivery.recipients}
            </td>
            <td class="number" data-name="Size">
              {bytes(delivery.bytes)}
            </td>
            <td>
              <button
                type="button"
                class="link"
                aria-expanded={delivery.seq === at}
                onClick={() =>
                  go(delivery.seq === at ? {} : { open: delivery.notificationId, at: delivery.seq })
                }
              >
                {delivery.seq === at ? 'Close' : 'Open'}
              </button>
            </td>
          </tr>,
          delivery.seq === at && open && (
            <tr key={`${delivery.seq} open`} class="opened">
              <td colSpan={7}>
                <Detail id={open} close={() => go({})} />
              </td>
            </tr>
          ),
        ])}
      </Listing>
    </>
  )
}

/** The position of the row below which a detail opens: the one that was clicked, or the first of the notification. */
const placeOf = (rows: DeliveryRow[], open: string | null, at: string | null) => {
  const own = rows.filter(({ notificationId }) => notificationId === open)
  return (own.find(({ seq }) => seq === at) ?? own[0])?.seq ?? null
}

/** Counts what would be redelivered, and asks. */
const askFirst = async (filter: Record<string, string>) => {
  const { matching, isMore } = await get<Matching>('deliveries/count', filter)
  if (matching === 0 && !isMore) return null
  const isFiltered = Object.values(filter).some(value => value !== '')
  const many = `${isMore ? 'At least ' : ''}${count(matching, 'delivery', 'deliveries')}`
  return {
    question: `${many} would be sent again${isFiltered ? '' : ': no filter is set, so this is all that is retained'}.`,
    start: `Redeliver ${isMore ? 'all' : matching.toLocaleString('en')}`,
  }
}

const Detail = ({ id, close }: { id: string; close(): void }) => {
  const {
    answer: notification,
    error,
    reload,
  } = useAnswer(id, () => get<NotificationDetail>(`notifications/${encodeURIComponent(id)}`))
  const redeliver = async (channel?: string) => {
    await post('redeliver', { notification: id, ...(channel ? { channel } : {}) })
    await reload()
  }
  const withdraw = async () => {
    await post('withdraw', { notification: id })
    await reload()
  }
  return (
    <section class="card detail" aria-label="Notification">
      <header>
        <h2>{notification?.type ?? 'Notification'}</h2>
        {notification?.isWithdrawn === false && <Careful act={withdraw}>Withdraw</Careful>}
        <button type="button" class="quiet" onClick={close}>
          Close
        </button>
      </header>
      <Complaint error={error} />
      {notification && (
        <>
          <dl>
            <dt>Id</dt>
            <dd>
              <code>{notification.id}</code>
            </dd>
            <dt>{notification.sendAt === null ? 'Published' : 'Scheduled'}</dt>
            <dd>{time(notification.createdAt)}</dd>
            {notification.sendAt !== null && (
              <>
                <dt>Due</dt>
                <dd>{time(notification.sendAt)}</dd>
              </>
            )}
            {notification.expiresAt && (
              <>
                <dt>Expires</dt>
                <dd>{time(notification.expiresAt)}</dd>
              </>
            )}
            {notification.dedupeKey && (
              <>
                <dt>Key</dt>
                <dd>
                  <code>{notification.dedupeKey}</code>
                </dd>
              </>
            )}
          </dl>
          <pre class="payload">{pretty(notification.payload)}</pre>
          <div class="wide-table">
            <table class="rows">
              <tbody>
                {notification.deliveries.map(delivery => (
                  <tr key={delivery.channel}>
                    <td class="wide">{delivery.channel}</td>
                    <td class="wide">
                      <Badge status={delivery.status} /> {delivery.error}
                    </td>
                    <td class="number">{count(delivery.recipients, 'stream')}</td>
                    <td>{time(delivery.deliveredAt)}</td>
                    <td>
                      <a href={explainLink(id, delivery.channel)}>Explain</a>
                    </td>
                    <td>
                      {notification.sendAt === null && !notification.isWithdrawn && (
                        <Careful act={() => redeliver(delivery.channel)}>Redeliver</Careful>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  )
}

/** The payload with indentation, unless a number would lose digits. */
const pretty = (payload: string) => {
  const indented = JSON.stringify(JSON.parse(payload), null, 2)
  const plain = (text: string) => text.replace(/\s+/g, '')
  return plain(indented) === plain(payload) ? indented : payload
}

/** Converts the local times of the fields. */
const inUtc = (filter: Record<string, string>) => ({
  ...filter,
  since: filter.since ? new Date(filter.since).toISOString() : '',
  until: filter.until ? new Date(filter.until).toISOString() : '',
})
