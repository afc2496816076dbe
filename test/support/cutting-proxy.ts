import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/**
 * A network on 127.0.0.1 to a port that ends the first connection when so many bytes of the answer's body have
 * come through: those of the wire, with the lengths of its pieces.
 */
export const serveCutting = async (port: number, bytes: number) => {
  const sockets = new Set<Socket>()
  let isTaken = false
  let isCut = false

  const takeFirst = () => {
    const isFirst = !isTaken
    isTaken = true
    return isFirst
  }

  const server = createServer(client => {
    const upstream = connect(port, '127.0.0.1')
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', end)
      socket.on('close', end)
    }
    client.pipe(upstream)
    // Browsers connect ahead, so it is the first that is answered.
    let isFirst: boolean | null = null
    let head: Buffer | null = Buffer.alloc(0)
    let left = bytes
    const pass = (body: Buffer) => {
      const piece = body.subarray(0, left)
      left -= piece.length
      if (left > 0) return client.write(piece)
      isCut = true
      return client.end(piece, end)
    }
    upstream.on('data', (data: Buffer) => {
      isFirst ??= takeFirst()
      if (!isFirst) return client.write(data)
      if (isCut) return false
      if (!head) return pass(data)
      head = Buffer.concat([head, data])
      const start = head.indexOf('\r\n\r\n')
      if (start < 0) return false
      client.write(head.subarray(0, start + 4))
      // A whole answer that is shorter: the next one on this connection is not the first.
      const length = /content-length: (\d+)/i.exec(head.toString('latin1', 0, start))
      if (length && Number(length[1]) < left) {
        isFirst = false
        return client.write(head.subarray(start + 4))
      }
      const body = head.subarray(start + 4)
      head = null
      return pass(body)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    get isCut() {
      return isCut
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
