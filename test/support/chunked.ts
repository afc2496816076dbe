/**
 * Parses an HTTP/1.1 response from a plain socket, piece by piece. Returns its status, the text of its chunked body
 * (RFC 9112, 7.1) so far, and whether the body has ended: the connection may stay open after it.
 */
export const createResponseReader = () => {
  const decoder = new TextDecoder()
  let rest = Buffer.alloc(0)
  let status = 0
  let left = 0
  let ended = false

  return {
    get status() {
      return status
    },
    get ended() {
      return ended
    },
    read(bytes: Buffer): string {
      rest = Buffer.concat([rest, bytes])
      let text = ''
      if (status === 0) {
        const end = rest.indexOf('\r\n\r\n')
        if (end < 0) return ''
        status = Number(rest.toString('latin1', 9, 12))
        // A response that is no stream arrives in one piece.
        ended = !/^transfer-encoding: chunked$/im.test(rest.toString('latin1', 0, end))
        rest = rest.subarray(end + 4)
        if (ended) return rest.toString()
      }
      for (;;) {
        if (left === 0) {
          const end = rest.indexOf('\r\n')
          if (end < 0) return text
          left = Number.parseInt(rest.toString('latin1', 0, end), 16) + 2
          rest = rest.subarray(end + 2)
          ended = left === 2
        }
        // A chunk ends with a line break of two bytes.
        const taken = Math.min(left, rest.length)
        text += decoder.decode(rest.subarray(0, Math.max(0, Math.min(taken, left - 2))), {
          stream: true,
        })
        rest = rest.subarray(taken)
        left -= taken
        if (left > 0) return text
      }
    },
  }
}
