import { createParser } from 'eventsource-parser'
import { checkItem } from './described.ts'
import { eventually } from './eventually.ts'

export type Received = {
  id: string | undefined
  event: string
  data: string
}

/** The JSON of an event's data. */
export type EventData = {
  channel: string
  payload: Record<string, unknown> & { metadata: Record<string, unknown> }
  id: string | null
  type: string | null
  createdAt: string
  expiresAt?: string
}

export type Client = AsyncDisposable & {
  response: Response
  /** Everything received so far: the bytes as text, the parsed blocks, and among them events and controls. */
  readonly text: string
  readonly received: Received[]
  readonly events: (EventData & { cursor: string | undefined })[]
  readonly controls: { type: string; [key: string]: unknown }[]
  /** The last id, as a browser would send it when it returns. */
  readonly lastEventId: string | undefined
  /** Whether the server has ended the stream. */
  readonly ended: boolean
  /** Waits for the n-th event, counted from 1, and returns all events so far. */
  atLeast(n: number): Promise<Client['events']>
  /** Waits for a control event of this type. */
  control(type: string): Promise<{ type: string; [key: string]: unknown }>
  close(): void
}

/** Opens a stream over a real socket, and collects what it receives. */
export const open = async (
  url: string,
  options: { token?: string; lastEventId?: string; query?: string; headers?: HeadersInit } = {},
): Promise<Client> => {
  const abort = new AbortController()
  const headers = new Headers(options.headers)
  if (options.token) headers.set('authorization', `Bearer ${options.token}`)
  if (options.lastEventId) headers.set('last-event-id', options.lastEventId)
  const response = await fetch(`${url}/notifications/stream${options.query ?? ''}`, {
    headers,
    signal: abort.signal,
  })

  const received: Received[] = []
  const events: Client['events'] = []
  const controls: Client['controls'] = []
  let text = ''
  let ended = false
  const parser = createParser({
    onEvent({ id, event = 'message', data }) {
      received.push({ id, event, data })
      checkItem({ id, event, data })
      if (event === 'message') events.push({ ...JSON.parse(data), cursor: id })
      if (event === 'control') controls.push(JSON.parse(data))
    },
  })
  const read = async () => {
    const decoder = new TextDecoder()
    try {
      for await (const bytes of response.body ?? []) {
        const piece = decoder.decode(bytes, { stream: true })
        text += piece
        parser.feed(piece)
      }
    } catch (error) {
      if (!abort.signal.aborted) text += `\n[cut: ${error}]`
    }
    ended = true
  }
  const reading = read()
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false
  if (!isStream) await reading

  return {
    response,
    get text() {
      return text
    },
    received,
    events,
    controls,
    get lastEventId() {
      return received.findLast(({ id }) => id !== undefined)?.id
    },
    get ended() {
      return ended
    },
    async atLeast(n) {
      await eventually(() => events.length >= n)
      return events
    },
    control: type => eventually(() => controls.find(control => control.type === type)),
    close: () => abort.abort(),
    async [Symbol.asyncDispose]() {
      abort.abort()
      await reading
    },
  }
}

/** Opens a stream, and waits until it is ready. */
export const openReady = async (...args: Parameters<typeof open>) => {
  const client = await open(...args)
  await client.control('ready')
  return client
}
