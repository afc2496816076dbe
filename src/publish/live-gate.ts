/**
 * Keeps events of the live path behind earlier changes of users: an event that arrives after `changed` waits until
 * that change has been read. `look` resolves when everything has been read that was committed before the call.
 *
 * At most `most` events wait. Further ones are lost: they are not stored anywhere. `dropped` is called for them.
 */
export const createLiveGate = <Event>(options: {
  look(): Promise<void>
  dispatch(event: Event): void
  dropped(): void
  most: number
}) => {
  /** The waiting events in order, in parts. Each part waits for one look. */
  const parts: { look: Promise<void>; events: Event[] }[] = []
  let waiting = 0

  const open = (look: Promise<void>) => {
    // A later look has read at least as much, so it opens the earlier parts too.
    const count = parts.findIndex(part => part.look === look) + 1
    for (const { events } of parts.splice(0, count)) {
      waiting -= events.length
      for (const event of events) options.dispatch(event)
    }
  }

  return {
    /** A user has changed. */
    changed() {
      const look = options.look()
      if (parts.at(-1)?.look === look) return
      parts.push({ look, events: [] })
      void look.then(() => open(look))
    },
    push(event: Event) {
      const last = parts.at(-1)
      if (!last) return options.dispatch(event)
      if (waiting >= options.most) return options.dropped()
      last.events.push(event)
      waiting++
    },
  }
}
