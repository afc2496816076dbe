import type { AuditEntry } from '../../admin/admin.ts'
import { time } from '../format.ts'
import { usePages } from '../pages.ts'
import { Complaint, Listing } from '../parts.tsx'

/** What operators did, newest first. */
export const Audit = () => {
  const list = usePages('audit', {}, (answer: { entries: AuditEntry[] }) => answer.entries)
  return (
    <>
      <Complaint error={list.error.value} />
      <Listing
        list={list}
        columns={['When', 'Who', 'What', 'To', 'Deliveries', 'Details']}
        numbers={['Deliveries']}
        nothing="No operator has changed anything in the last 90 days."
      >
        {list.rows.value.map(({ id, at, actor, action, target, changed, detail }) => (
          <tr key={id}>
            <td data-name="When">{time(at)}</td>
            <td class="wide" data-name="Who">
              {actor}
            </td>
            <td data-name="What">{action}</td>
            <td class="wide" data-name="To">
              {target ?? '–'}
            </td>
            <td class="number" data-name="Deliveries">
              {changed ?? '–'}
            </td>
            <td class="wide" data-name="Details">
              {detail === '{}' ? '–' : <code>{detail}</code>}
            </td>
          </tr>
        ))}
      </Listing>
    </>
  )
}
