/**
 * A proxy before a service whose answers come late, each by a time of its own, so in another order than they
 * were given. Streams come in pieces, one
 * after the other and so with less delay for each, and can be cut.
 */
export const serveSlowFront = (upstream: string, delayMs: () => number) => {
  let underWay = 0
  let cut = Promise.withResolvers<null>()

  const later = <Value>(value: Value, ms = delayMs()): Promise<Value> =>
    new Promise(resolve => setTimeout(resolve, ms, value))

  const pass = async (request: Request) => {
    const { pathname, search } = new URL(request.url)
    const { method, headers } = request
    const body = method === 'GET' ? undefined : await request.arrayBuffer()
    await later(null)
    const answer = await fetch(`${upstream}${pathname}${search}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      signal: request.signal,
      // A connection of its own: one that is kept may be closed at the moment it is used.
      keepalive: false,
    })
    const type = answer.headers.get('content-type') ?? ''
    if (type.startsWith('text/event-stream') && answer.body) {
      return new Response(inPieces(answer.body), answer)
    }
    const bytes = await later(await answer.arrayBuffer())
    return new Response(bytes, answer)
  }

  const inPieces = (stream: ReadableStream<Uint8Array>) => {
    const reader = stream.getReader()
    const end = cut.promise
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        const piece = await Promise.race([reader.read(), end])
        if (piece?.value) return controller.enqueue(await later(piece.value, delayMs() / 10))
        controller.close()
        await reader.cancel()
      },
      cancel: () => reader.cancel(),
    })
  }

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 60,
    async fetch(request) {
      underWay++
      try {
        return await pass(request)
      } catch {
        return new Response(null, { status: 502 })
      } finally {
        underWay--
      }
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    /** How many requests have no answer yet. */
    get underWay() {
      return underWay
    },
    /** Ends the streams that are open. */
    cut() {
      cut.resolve(null)
      cut = Promise.withResolvers()
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}
