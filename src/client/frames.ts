/** One block of a stream. */
export type Frame = { event: string; data: string | null; id?: string }

/**
 * Parses the text of a stream, in pieces of any size, into blocks (WHATWG HTML, 9.2.6). A block counts when its blank
 * line has arrived, so a block that is cut off never counts.
 */
export const createParser = (onFrame: (frame: Frame) => void, onRetry: (ms: number) => void) => {
  let rest = ''
  let frame: Frame = { event: '', data: null }
  return (text: string) => {
    // A CR at the end may be the first half of a CRLF.
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [name, value = ''] = line.split(/: ?(.*)/s)
      if (!line) {
        if (frame.data !== null || frame.id) onFrame(frame)
        frame = { event: '', data: null }
      } else if (name === 'data')
        frame.data = frame.data === null ? value : `${frame.data}\n${value}`
      else if (name === 'event' || (name === 'id' && value)) frame[name] = value
      else if (name === 'retry' && /^\d+$/.test(value)) onRetry(+value)
    }
  }
}
