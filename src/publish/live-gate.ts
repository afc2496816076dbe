/**
 * Keeps the live path behind what was said of users before it: events that come after `changed` wait until
 * that has been read. `look` resolves when all has been read that was committed before the call.
 *
 * At most `most` events wait. What does not fit is dropped, and told to `dropped`: it is nowhere else.
 */
export const createLiveGate = <Event>(options: {
  look(): Promise<void>
  dispatch(event: Event): void
  dropped(): void
  most: number
}) => {
  /** What waits, in order: each part behind a look. */
  const parts: { look: Promise<void>; events: Event[] }[] = []
  let waiting = 0

  const open = (look: Promise<void>) => {
    // A look that began later has read as much, so the parts before it are open too.
    const count = parts.findIndex(part => part.look === look) + 1
    for (const { events } of parts.splice(0, count)) {
      waiting -= events.length
      for (const event of events) options.dispatch(event)
    }
  }

  return {
    /** Something was said of a user. */
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
