export type Span = {
  name: string
  traceId: string
  spanId: string
  parentSpanId: string
  kind: number
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: { key: string; value: { stringValue?: string } }[]
  service: string
}

export type Collector = AsyncDisposable & {
  url: string
  spans: Span[]
  status: number
  /** The headers of the last request. */
  headers: Headers
  readonly asked: number
}

type Attributes = Span['attributes']
type Body = {
  resourceSpans?: {
    resource: { attributes: Attributes }
    scopeSpans: { spans: Omit<Span, 'service'>[] }[]
  }[]
}

/** An OpenTelemetry collector on 127.0.0.1 that keeps the spans that it receives (OTLP/HTTP, JSON). */
export const collector = (): Collector => {
  let asked = 0
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      asked++
      made.headers = request.headers
      const body: Body = await request.json()
      for (const { resource, scopeSpans } of body.resourceSpans ?? []) {
        const name = resource.attributes.find(({ key }) => key === 'service.name')
        const service = name?.value.stringValue ?? ''
        for (const { spans } of scopeSpans)
          made.spans.push(...spans.map(span => ({ ...span, service })))
      }
      return Response.json({}, { status: made.status })
    },
  })
  const made: Collector = {
    url: `http://127.0.0.1:${server.port}`,
    spans: [],
    headers: new Headers(),
    status: 200,
    get asked() {
      return asked
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
  return made
}
