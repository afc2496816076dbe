import { useSignal } from '@preact/signals'
import { Complaint, Field } from './parts.tsx'
import { refused, resume } from './state.ts'

/** The form to sign in: it puts the token of an admin into the cookie. */
export const Login = () => {
  const error = useSignal<string | null>(null)
  const signIn = async (event: SubmitEvent) => {
    event.preventDefault()
    if (!(event.currentTarget instanceof HTMLFormElement)) return
    const token = new FormData(event.currentTarget).get('token')
    const response = await fetch('admin/session', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    }).catch(() => null)
    if (response?.ok) {
      error.value = null
      return resume()
    }
    const body = await response?.json().catch(() => null)
    error.value = body?.detail ?? 'The service does not answer.'
  }
  return (
    <main class="login">
      <form class="card" onSubmit={signIn}>
        <h1>Kairan</h1>
        <Field name="Token of an admin">
          <textarea
            name="token"
            rows={4}
            required
            spellcheck={false}
            autocomplete="off"
            placeholder="eyJ…"
            onKeyDown={event => {
              // A token has one line.
              if (event.key !== 'Enter') return
              event.preventDefault()
              event.currentTarget.form?.requestSubmit()
            }}
          />
        </Field>
        <button type="submit">Sign in</button>
        <Complaint error={error.value ?? refused.value} />
        <p class="note">
          A JWT whose user has the admin role level in the database: <code>kairan role 42 100</code>{' '}
          gives it to user 42, and <code>kairan token --sub 42</code> prints a token. Who is signed
          in to the application by its cookie needs none.
        </p>
      </form>
    </main>
  )
}
