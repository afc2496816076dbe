import { open } from '../support/client.ts'

/** What a reader saw: what it may rely on begins anew at each start. */
export type Stretch = {
  /** The cursor from which it has everything. */
  from: string
  /** Whether it began because the one before could not be continued, and said so. */
  gap: boolean
  events: { id: string; cursor: string }[]
}

export type Follower = AsyncDisposable & {
  readonly stretches: Stretch[]
  /** What a stream must not say for a failover: that it is revoked, or a refusal that ends an EventSource. */
  readonly complaints: string[]
  /** Whether it has the event of this notification. */
  has(id: string): boolean
}

/** A client that comes back to any of the instances with its cursor, as a browser does, until the end of the scope. */
export const follow = async (
  urls: readonly string[],
  options: { token: string; query?: string },
): Promise<Follower> => {
  const stretches: Stretch[] = []
  const complaints: string[] = []
  const stop = Promise.withResolvers<void>()
  let stopped = false
  let cursor: string | undefined
  let visits = 0

  const visit = async () => {
    const url = urls[visits++ % urls.length] ?? ''
    const sent = cursor
    const client = await open(url, { ...options, ...(cursor ? { lastEventId: cursor } : {}) })
    const { status } = client.response
    if (status !== 200 && status !== 503) complaints.push(`${status} ${client.text}`)
    let read = 0
    const readOn = () => {
      for (const block of client.received.slice(read)) take(block, sent)
      read = client.received.length
    }
    while (!stopped && !client.ended) {
      readOn()
      await Promise.race([stop.promise, Bun.sleep(10)])
    }
    readOn()
    await client[Symbol.asyncDispose]()
  }

  const take = (
    { event, data, id }: { event: string; data: string; id: string | undefined },
    sent: string | undefined,
  ) => {
    const said = event === 'ping' ? {} : JSON.parse(data)
    if (event === 'message' && id) stretches.at(-1)?.events.push({ id: said.id, cursor: id })
    if (event === 'control' && said.type === 'ready' && !said.resumed) {
      if (sent && stretches.length > 0)
        stretches.push({ from: said.cursor, gap: false, events: [] })
      else stretches.push({ from: said.cursor, gap: true, events: [] })
    }
    const current = stretches.at(-1)
    if (event === 'control' && said.type === 'gap' && current) current.gap = true
    if (event === 'control' && ['revoked', 'token_expired'].includes(said.type)) {
      complaints.push(data)
    }
    if (id) cursor = id
  }

  const run = async () => {
    while (!stopped) {
      await visit().catch(error => complaints.push(String(error)))
      await Promise.race([stop.promise, Bun.sleep(20 + Math.random() * 50)])
    }
  }
  const running = run()
  return {
    stretches,
    complaints,
    has: id => stretches.some(({ events }) => events.some(event => event.id === id)),
    async [Symbol.asyncDispose]() {
      stopped = true
      stop.resolve()
      await running
    },
  }
}
