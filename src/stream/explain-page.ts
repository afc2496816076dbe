import { uncached } from '../http/answer.ts'

/** Explains the stream to a person who opens its address in a browser, which would download it without end. */
export const explainStream = () =>
  new Response(page, {
    status: 406,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      ...uncached,
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
    },
  })

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>A stream of notifications</title>
<h1>This is a stream, not a page</h1>
<p>Here a program receives notifications as Server-Sent Events. In a page:</p>
<pre>const events = new EventSource('/notifications/stream')
events.onmessage = event =&gt; console.log(JSON.parse(event.data))</pre>
<p>In a terminal:</p>
<pre>curl -N -H "Authorization: Bearer $TOKEN" …/notifications/stream</pre>
</html>
`
