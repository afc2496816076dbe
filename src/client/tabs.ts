/** The tabs with the same name. One of them leads. */
export type Tabs<Message> = {
  /** Sends a message to the other tabs. */
  post(message: Message): void
  /** Joins the queue of tabs that want to lead. */
  join(): void
  /** Leaves the queue, or gives up the lead. */
  leave(): void
  /** Takes the lead from a tab that does not answer. */
  takeOver(): void
}

/**
 * Lets one tab lead: the tab that holds a lock. When that tab is closed or crashes, the browser gives the lock to the
 * next one. Without a name, or in a browser without locks, each tab leads itself.
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
    // It rejects when this tab leaves the queue, and when another tab takes the lead.
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
