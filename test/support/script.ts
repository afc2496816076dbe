/**
 * A scripted service, for situations that are rare with a real one: the test decides what it sends. It lists the streams
 * that were opened and the other requests. It refuses the token `bad`.
 */
export const serveScript = () => {
  const streams: { headers: Headers; say(text: string): void; end(): void }[] = []
  const requests: { method: string; path: string; headers: Headers; body: string }[] = []
  let status = 200
  const encoder = new TextEncoder()
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 60,
    async fetch(request) {
      const { method } = request
      const { pathname: path } = new URL(request.url)
      const headers = new Headers(request.headers)
      if (!path.endsWith('/stream')) {
        requests.push({ method, path, headers, body: await request.text() })
        if (status !== 200) return refuse(status)
        return Response.json(
          path.endsWith('/token')
            ? { expiresAt: '2026-01-01T00:00:00Z' }
            : { unread: 3, unseen: 0, cursor: 'c2d20b55-7' },
        )
      }
      if (headers.get('authorization') === 'Bearer bad') {
        return refuse(401)
      }
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          streams.push({
            headers,
            say: text => controller.enqueue(encoder.encode(text)),
            end: () => controller.close(),
          })
        },
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    streams,
    requests,
    /** Answers requests that are not for the stream. */
    answerWith(code: number) {
      status = code
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

const refuse = (status: number) =>
  Response.json(
    { type: 'about:blank', title: 'No', status, code: 'not_found', detail: 'Nothing there.' },
    { status, headers: { 'content-type': 'application/problem+json' } },
  )

export const control = (type: string, more: object = {}) =>
  `event: control\ndata: ${JSON.stringify({ type, ...more })}\n\n`
