import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Pages } from './pages.ts'
import { session } from './state.ts'

/** A figure with its name and a note. */
export const Tile = ({ name, value, note }: { name: string; value: string; note?: string }) => (
  <div class="tile">
    <div class="name">{name}</div>
    <div class="value">{value}</div>
    {note && <div class="note">{note}</div>}
  </div>
)

export const Badge = ({ status }: { status: string }) => (
  <span class={`badge ${status}`}>{status}</span>
)

/** A button that asks for confirmation. It is absent when the dashboard is read-only. */
export const Careful = ({ children, act }: { children: string; act(): Promise<unknown> }) => {
  const step = useSignal<'idle' | 'sure' | 'busy'>('idle')
  const error = useSignal<string | null>(null)
  if (session.value?.isReadOnly) return null
  const press = async () => {
    if (step.value === 'idle') {
      step.value = 'sure'
      return
    }
    step.value = 'busy'
    error.value = null
    try {
      await act()
    } catch (thrown) {
      error.value = thrown instanceof Error ? thrown.message : 'It failed.'
    } finally {
      step.value = 'idle'
    }
  }
  return (
    <>
      <button
        type="button"
        class={step.value === 'sure' ? 'danger' : 'quiet'}
        disabled={step.value === 'busy'}
        onClick={press}
        onBlur={() => {
          if (step.value === 'sure') step.value = 'idle'
        }}
      >
        {step.value === 'sure' ? 'Sure?' : step.value === 'busy' ? '…' : children}
      </button>
      <Complaint error={error.value} />
    </>
  )
}

export const Field = ({ name, children }: { name: string; children: ComponentChildren }) => (
  // biome-ignore lint/a11y/noLabelWithoutControl: the control is what stands inside.
  <label class="field">
    <span>{name}</span>
    {children}
  </label>
)

/** A text by which a list is narrowed. What is typed and not sent yet stays when the list is drawn anew. */
export const Search = ({
  name,
  value,
  placeholder,
  maxLength,
  onSearch,
}: {
  name: string
  value: string | null | undefined
  placeholder: string
  maxLength?: number
  onSearch(value: string): void
}) => (
  <Field name={name}>
    <input
      type="search"
      key={value ?? ''}
      defaultValue={value ?? ''}
      placeholder={placeholder}
      maxLength={maxLength}
      onChange={({ currentTarget }) => onSearch(currentTarget.value.trim())}
    />
  </Field>
)

/** The rows of a list that is read page by page. `numbers` are the columns that stand to the right. */
export const Listing = ({
  list,
  columns,
  numbers = [],
  nothing,
  more = 'More',
  children,
}: {
  list: Pick<Pages<unknown>, 'next' | 'isEmpty' | 'more'>
  columns: readonly string[]
  numbers?: readonly string[]
  /** What stands there when nothing was found. */
  nothing: string
  /** The button for the next page. */
  more?: string
  children: ComponentChildren
}) => (
  <>
    <div class="scroll">
      <table class="rows">
        <thead>
          <tr>
            {columns.map(name => (
              <th key={name} class={numbers.includes(name) ? 'number' : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
    {list.isEmpty() && <p class="empty">{nothing}</p>}
    {list.next.value !== null && (
      <button type="button" class="quiet more" onClick={list.more}>
        {more}
      </button>
    )}
  </>
)

/** An error message, which screen readers announce. */
export const Complaint = ({ error }: { error: string | null }) =>
  error === null ? null : (
    <p class="complaint" role="alert">
      {error}
    </p>
  )

/** Runs long work in steps. It can be stopped between two steps. */
export const Progress = ({
  name,
  of = '',
  step,
  ask,
}: {
  name: string
  /** What the steps are done to. When it changes, a question that was asked before is not shown any more. */
  of?: string
  /** What is asked before it starts, and what the button to start says; null when there is nothing to do. */
  ask?(): Promise<{ question: string; start: string } | null>
  /** Does the step that begins at `next`. The answer says where the following step begins. */
  step(next: string | null): Promise<{ changed: number; next: string | null }>
}) => {
  const state = useSignal<{ done: number; isRunning: boolean; said: string }>({
    done: 0,
    isRunning: false,
    said: '',
  })
  const asked = useSignal<{ of: string; question: string; start: string } | null>(null)
  const newest = useRef(of)
  newest.current = of
  const stopped = useRef(false)
  useEffect(
    () => () => {
      stopped.current = true
    },
    [],
  )
  if (session.value?.isReadOnly) return null

  const say = (said: string) => {
    state.value = { done: 0, isRunning: false, said }
  }
  const prepare = async () => {
    try {
      const found = await ask?.()
      if (newest.current !== of) return
      asked.value = found ? { of, ...found } : null
      say(found ? '' : 'Nothing to do')
    } catch (error) {
      if (newest.current === of) say(error instanceof Error ? error.message : 'Failed')
    }
  }
  const run = async () => {
    asked.value = null
    stopped.current = false
    let done = 0
    let next: string | null = null
    state.value = { done, isRunning: true, said: '' }
    try {
      do {
        const answer: { changed: number; next: string | null } = await step(next)
        done += answer.changed
        next = answer.next
        state.value = { done, isRunning: true, said: '' }
      } while (next !== null && !stopped.current)
      state.value = { done, isRunning: false, said: next === null ? 'All done' : 'Stopped' }
    } catch (error) {
      state.value = {
        done,
        isRunning: false,
        said: error instanceof Error ? error.message : 'Failed',
      }
    }
  }
  const { done, isRunning, said } = state.value
  return (
    <div class="progress">
      {isRunning ? (
        <>
          <progress aria-label={name} />
          <button
            type="button"
            class="quiet"
            onClick={() => {
              stopped.current = true
            }}
          >
            Stop
          </button>
        </>
      ) : asked.value?.of === of ? (
        <div class="question">
          <span role="alert">{asked.value.question}</span>
          <button type="button" class="danger" onClick={run}>
            {asked.value.start}
          </button>
          <button
            type="button"
            class="quiet"
            onClick={() => {
              asked.value = null
            }}
          >
            Cancel
          </button>
        </div>
      ) : ask ? (
        <button type="button" class="quiet" onClick={prepare}>
          {name}
        </button>
      ) : (
        <Careful act={run}>{name}</Careful>
      )}
      <span role="status">
        {isRunning && `${done.toLocaleString('en')} so far`}
        {said && (done > 0 ? `${done.toLocaleString('en')} · ${said}` : said)}
      </span>
    </div>
  )
}
