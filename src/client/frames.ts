/** One block of a stream, as it was written. */
export type Frame = { event: string; data: string; id?: string }

/**
 * Takes the text of a stream in pieces of any size and gives its blocks (WHATWG HTML, 9.2.6). A block
 * counts when its blank line has come, so what is cut off in the middle never does.
 */
export const createParser = (on: { frame(frame: Frame): void; retry(ms: number): void }) => {
  let rest = ''
  let frame: Frame = { event: '', data: '' }
  return (text: string) => {
    // A CR at the end may be the first half of a CRLF.
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
      if (line === '') {
        const done = frame
        frame = { event: '', data: '' }
        if (done.data || done.id) on.frame(done)
      } else if (name === 'data') frame.data += (frame.data && '\n') + value
      else if (name === 'event') frame.event = value
      else if (name === 'id') frame.id = value
      else if (name === 'retry' && /^\d+$/.test(value)) on.retry(+value)
    }
  }
}
