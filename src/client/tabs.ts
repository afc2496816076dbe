/** The tabs of one name, of which one leads. */
export type Tabs<Message> = {
  /** Says something to the other tabs. */
  post(message: Message): void
  /** Stands in line to lead. */
  join(): void
  /** Leaves the line, or the lead to another. */
  leave(): void
  /** Takes the lead away from a tab that does not answer. */
  takeOver(): void
}

/**
 * Has one tab lead: the one that holds the lock. The browser gives it to the next when that tab is closed
 * or crashes. Without a name, or in a browser that lacks what it takes, each tab leads itself.
 */
export const createTabs = <Message>(
  name: string | null,
  on: { lead(): void; yield(): void; hear(message: Message): void },
): Tabs<Message> => {
  const locks = globalThis.navigator?.locks
  if (name === null || !locks || !globalThis.BroadcastChannel) {
    return { post: nothing, join: on.lead, leave: on.yield, takeOver: nothing }
  }
  let channel: BroadcastChannel | null = null
  let turn: AbortController | null = null
  let release: (() => void) | null = null

  const stand = async (steal: boolean) => {
    const mine = new AbortController()
    turn = mine
    let leads = false
    const lead = async () => {
      if (turn !== mine) return
      leads = true
      on.lead()
      await new Promise<void>(resolve => {
        release = resolve
      })
    }
    // It rejects when this tab leaves the line, and when another takes over.
    await locks
      .request(name, steal ? { steal } : { signal: mine.signal }, lead)
      .catch(() => undefined)
    if (leads) on.yield()
    if (turn === mine) void stand(false)
  }

  const leave = () => {
    turn?.abort()
    turn = null
    release?.()
    channel?.close()
    channel = null
    on.yield()
  }

  return {
    post: message => channel?.postMessage(message),
    join() {
      if (channel) return
      channel = new BroadcastChannel(name)
      channel.onmessage = ({ data }) => on.hear(data)
      void stand(false)
    },
    leave,
    takeOver() {
      turn?.abort()
      void stand(true)
    },
  }
}

const nothing = () => undefined
