import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { post } from '../api.ts'
import { Badge, Complaint, Field } from '../parts.tsx'
import { session } from '../state.ts'

type Seen = { key: number; at: string; name: string; data: string }

/** Largest number of events in the pane. */
const mostSeen = 50

export const TryIt = () => {
  const channel = useSignal(`user-${session.value?.userId ?? '42'}`)
  const type = useSignal('greeting')
  const payload = useSignal('{"text": "Hello"}')
  const said = useSignal<string | null>(null)
  const error = useSignal<string | null>(null)

  const publish = async (event: Event) => {
    event.preventDefault()
    said.value = null
    try {
      const content: unknown = JSON.parse(payload.value)
      const body = {
        channel: channel.value,
        payload: content,
        ...(type.value ? { type: type.value } : {}),
      }
      const { id } = await post<{ id: string }>('publish', body)
      said.value = id
      error.value = null
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : 'It failed.'
      error.value = thrown instanceof SyntaxError ? `The payload is not JSON: ${reason}` : reason
    }
  }

  return (
    <div class="halves">
      <form class="card" onSubmit={publish}>
        <h2>Publish</h2>
        <Field name="Channel">
          <input
            value={channel.value}
            list="channels"
            onInput={({ currentTarget }) => {
              channel.value = currentTarget.value
            }}
          />
        </Field>
        <datalist id="channels">
          <option value="all-users" />
          <option value="admin-dashboard" />
        </datalist>
        <Field name="Type">
          <input
            value={type.value}
            onInput={({ currentTarget }) => {
              type.value = currentTarget.value
            }}
          />
        </Field>
        <Field name="Payload">
          <textarea
            rows={4}
            spellcheck={false}
            value={payload.value}
            onInput={({ currentTarget }) => {
              payload.value = currentTarget.value
            }}
          />
        </Field>
        {!session.value?.isReadOnly && <button type="submit">Publish</button>}
        <Complaint error={error.value} />
        {said.value && (
          <p role="status">
            Published: <a href={`#notifications?open=${said.value}`}>{said.value}</a>
          </p>
        )}
        <Snippets channel={channel.value} type={type.value} payload={payload.value} />
      </form>
      <Live />
    </div>
  )
}

/** Shows the events on a stream of the signed-in user. */
const Live = () => {
  const seen = useSignal<Seen[]>([])
  const state = useSignal('connecting')
  useEffect(() => {
    let key = 0
    let events: EventSource
    let retry: ReturnType<typeof setTimeout> | undefined
    const add = (name: string) => (event: MessageEvent<string>) => {
      const entry = { key: key++, at: new Date().toLocaleTimeString(), name, data: event.data }
      seen.value = [entry, ...seen.value].slice(0, mostSeen)
    }
    const open = () => {
      events = new EventSource('notifications/stream')
      events.onopen = () => {
        state.value = 'open'
      }
      events.onerror = () => {
        const isClosed = events.readyState === EventSource.CLOSED
        state.value = isClosed ? 'closed' : 'connecting'
        // An EventSource does not return after an answer such as 503.
        if (isClosed) retry = setTimeout(open, 3000)
      }
      events.onmessage = add('message')
      events.addEventListener('control', add('control'))
    }
    open()
    return () => {
      clearTimeout(retry)
      events.close()
    }
  }, [])
  return (
    <section class="card" aria-label="Live">
      <header>
        <h2>Your stream</h2>
        <Badge status={state.value} />
      </header>
      <ol class="live">
        {seen.value.map(({ key, at, name, data }) => (
          <li key={key} class={name}>
            <time>{at}</time>
            <code>{data}</code>
          </li>
        ))}
      </ol>
    </section>
  )
}

const Snippets = (what: { channel: string; type: string; payload: string }) => {
  const shown = useSignal<keyof typeof snippets>('SQL')
  return (
    <div class="snippets">
      <div role="tablist" aria-label="The same as code">
        {(Object.keys(snippets) as (keyof typeof snippets)[]).map(name => (
          <button
            key={name}
            type="button"
            role="tab"
            class="link"
            aria-selected={shown.value === name}
            onClick={() => {
              shown.value = name
            }}
          >
            {name}
          </button>
        ))}
      </div>
      <pre>{snippets[shown.value](what)}</pre>
    </div>
  )
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`

const snippets = {
  SQL: ({ channel, type, payload }: Parameters<typeof Snippets>[0]) =>
    `select kairan.publish(${quoted(channel)}, ${quoted(payload)}${type ? `, ${quoted(type)}` : ''});`,
  curl: ({ channel, type, payload }: Parameters<typeof Snippets>[0]) =>
    [
      'curl -H "Authorization: Bearer $TOKEN" \\',
      "  -H 'Content-Type: application/json' \\",
      `  ${new URL('notifications', location.href)} \\`,
      `  -d ${quoted(`{"channel": ${JSON.stringify(channel)}, "payload": ${payload}${type ? `, "type": ${JSON.stringify(type)}` : ''}}`).replaceAll("''", "'\\''")}`,
    ].join('\n'),
  JavaScript: ({ channel, type, payload }: Parameters<typeof Snippets>[0]) =>
    `await sql\`select kairan.publish(\${${JSON.stringify(channel)}}, \${sql.json(${payload})}${type ? `, \${${JSON.stringify(type)}}` : ''})\``,
}
