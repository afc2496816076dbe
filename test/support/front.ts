/**
 * A reverse proxy in front of a service. It can answer itself, like a proxy whose service is down. Pages of any origin
 * may read its answers.
 */
export const serveFront = (upstream: () => string) => {
  let answer: { status: number; type: string } | null = null
  let cut = Promise.withResolvers<null>()

  const passed: string[] = []

  const pass = async (request: Request) => {
    const { pathname, search } = new URL(request.url)
    passed.push(`${request.method} ${pathname}${search}`)
    const abort = new AbortController()
    request.signal.addEventListener('abort', () => abort.abort())
    const { method, headers, body } = request
    const init = { method, headers, body, signal: abort.signal }
    const response = await fetch(`${upstream()}${pathname}${search}`, init)
    return new Response(response.body && until(response.body, cut.promise), response)
  }

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 60,
    fetch(request) {
      if (!answer) return pass(request)
      const { status, type } = request.method === 'OPTIONS' ? { status: 204, type: '' } : answer
      return new Response(status === 204 ? null : '<h1>Not now</h1>', {
        status,
        headers: {
          'content-type': type,
          'access-control-allow-origin': request.headers.get('origin') ?? '*',
          'access-control-allow-credentials': 'true',
          'access-control-allow-headers': 'authorization, last-event-id, content-type',
        },
      })
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    /** The requests that were passed on. */
    passed,
    /** Answers every request like this, and ends the open streams; null makes it a proxy again. */
    answerWith(status: number | null, type = 'text/html') {
      answer = status === null ? null : { status, type }
      cut.resolve(null)
      cut = Promise.withResolvers()
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

/** A body that ends when `end` resolves, or earlier. */
const until = (body: ReadableStream<Uint8Array>, end: Promise<null>) => {
  const reader = body.getReader()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = await Promise.race([reader.read(), end])
      if (piece?.value) return controller.enqueue(piece.value)
      controller.close()
      await reader.cancel()
    },
    cancel: () => reader.cancel(),
  })
}
