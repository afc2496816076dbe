// better-sse on Node, used as in its README: a session for each request, and a channel that broadcasts.
import { createServer } from 'node:http'
import { createChannel, createSession } from 'better-sse'

const channel = createChannel()
const server = createServer(async (request, response) => {
  if (request.url === '/sub') {
    const session = await createSession(request, response)
    channel.register(session)
    return
  }
  if (request.method === 'POST') {
    let body = ''
    for await (const piece of request) body += piece
    const { count, text } = JSON.parse(body)
    for (let n = 0; n < count; n++) {
      channel.broadcast({ text })
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  response.end('ok')
})
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 })
