/** An EventSource whose channels change while it is open: `carry(['order:42'])`. */
export const listen = (url, { onEvent, onControl }) => {
  const events = new EventSource(`${url}/notifications/stream`, { withCredentials: true })
  let also = []
  let streamId = null
  const ask = () =>
    fetch(`${url}/notifications/stream/${streamId}/channels`, {
      method: 'POST',
      credentials: 'include',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ also }),
    })
  events.onmessage = ({ data }) => onEvent(JSON.parse(data))
  events.addEventListener('control', ({ data }) => {
    const control = JSON.parse(data)
    if (control.type === 'ready') {
      // Each time that it returns, it has the channels of its URL.
      streamId = control.streamId
      if (also.length > 0) ask()
    }
    // `also` says in `refused` which of them the user may not read.
    onControl(control)
  })
  return {
    carry(channels) {
      also = channels
      if (streamId !== null) ask()
    },
    close: () => events.close(),
  }
}
