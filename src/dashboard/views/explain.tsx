import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { Explanation } from '../../admin/explain.ts'
import { get } from '../api.ts'
import { count } from '../format.ts'
import { notificationLink } from '../links.ts'
import { Badge, Complaint, Field } from '../parts.tsx'
import { route } from '../state.ts'

export const Explain = () => {
  const { query } = route.value
  const notification = query.get('notification') ?? ''
  const user = query.get('user') ?? ''
  const found = useSignal<(Explanation & { followUp: string | null }) | null>(null)
  const error = useSignal<string | null>(null)

  useEffect(() => {
    found.value = null
    error.value = null
    if (!notification || !user) return
    get<Explanation & { followUp: string | null }>('explain', { notification, user }).then(
      answer => {
        found.value = answer
      },
      thrown => {
        error.value = thrown instanceof Error ? thrown.message : 'It failed.'
      },
    )
  }, [notification, user])

  const ask = (event: SubmitEvent) => {
    event.preventDefault()
    if (!(event.currentTarget instanceof HTMLFormElement)) return
    const form = new FormData(event.currentTarget)
    const asked = {
      notification: `${form.get('notification')}`.trim(),
      user: `${form.get('user')}`.trim(),
    }
    location.hash = `explain?${new URLSearchParams(asked)}`
  }

  const answer = found.value
  return (
    <div class="narrow">
      <form class="card" onSubmit={ask}>
        <h2>Why didn’t I get it?</h2>
        <Field name="Notification">
          <input name="notification" required defaultValue={notification} placeholder="its id" />
        </Field>
        <Field name="User">
          <input name="user" required defaultValue={user} placeholder="42" />
        </Field>
        <button type="submit">Explain</button>
      </form>
      <Complaint error={error.value} />
      {answer && (
        <section class="card" role="status">
          <Badge status={answer.outcome} />
          <p class="sentence">{answer.sentence}</p>
          {answer.followUp !== null && <p class="sentence">{answer.followUp}</p>}
          <p class="note">
            {count(answer.streams, 'stream')} of {user} open now ·{' '}
            <a href={notificationLink(notification)}>the notification</a> ·{' '}
            <a href={`#streams?user=${encodeURIComponent(user)}`}>the streams</a>
          </p>
        </section>
      )}
    </div>
  )
}
