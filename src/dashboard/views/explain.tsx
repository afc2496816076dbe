import type { Explanation } from '../../admin/explain.ts'
import { useAnswer } from '../answer.ts'
import { get } from '../api.ts'
import { count } from '../format.ts'
import { notificationLink } from '../links.ts'
import { Badge, Complaint, Field } from '../parts.tsx'
import { route } from '../state.ts'

export const Explain = () => {
  const { query } = route.value
  const notification = query.get('notification') ?? ''
  const user = query.get('user') ?? ''
  const { answer, error } = useAnswer(JSON.stringify([notification, user]), () =>
    notification && user
      ? get<Explanation & { followUp: string | null }>('explain', { notification, user })
      : null,
  )

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
      <Complaint error={error} />
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
