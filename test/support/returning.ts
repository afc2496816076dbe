import { createParser } from 'eventsource-parser'

/** A request with a token, also where the certificate is a test's. */
export const ask = (url: string, path: string, token: string, init: RequestInit = {}) =>
  fetch(`${url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${token}`, ...init.headers },
    tls: { rejectUnauthorized: false },
  })

/**
 * An EventSource over fetch, which goes to these addresses in turn: it returns with its cursor after `retry`, and notes
 * what would end it for good, and each gap.
 */
export const readAsBrowsersDo = (urls: string[], token: string) => {
  const seen: number[] = []
  const problems: string[] = []
  const abort = new AbortController()
  let cursor = ''
  let retryMs = 50
  let opened = 0
  let visits = 0
  let isOpen = false

  const visit = async () => {
    const url = urls[visits++ % urls.length] ?? ''
    const response = await ask(url, '/notifications/stream', token, {
      headers: cursor ? { 'last-event-id': cursor } : {},
      signal: abort.signal,
    })
    if (response.status !== 200) return problems.push(`The stream was answered ${response.status}`)
    const parser = createParser({
      onRetry(ms) {
        retryMs = ms
      },
      onEvent({ id, event, data }) {
        if (id) cursor = id
        if (event === undefined) seen.push(JSON.parse(data).payload.n)
        if (event !== 'control') return
        const { type } = JSON.parse(data)
        if (type === 'ready') isOpen = Boolean(++opened)
        if (type === 'gap') problems.push(data)
      },
    })
    const decoder = new TextDecoder()
    for await (const bytes of response.body ?? []) {
      parser.feed(decoder.decode(bytes, { stream: true }))
    }
  }
  const run = async () => {
    while (!abort.signal.aborted) {
      // A connection that breaks is the network's to a browser: it returns.
      await visit().catch(String)
      await Bun.sleep(retryMs)
    }
  }
  const running = run()
  return {
    seen,
    problems,
    get opened() {
      return opened
    },
    get isOpen() {
      return isOpen
    },
    async [Symbol.asyncDispose]() {
      abort.abort()
      await running
    },
  }
}
