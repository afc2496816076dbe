import { connect } from './connect.ts'
import type { Primary } from './primary.ts'

export type Scout = { start(): void; stop(): Promise<void> }

/**
 * Looks where the address leads, every `everyMs`: a session that exists already says nothing of that. When
 * a name or a proxy leads to a new primary and nobody has ended the old one, only a new session notices.
 */
export const createScout = (options: {
  url: string
  primary: Primary
  everyMs: number
  /** Whether there are sessions that could be on the wrong server; those that are lost look by themselves. */
  isNeeded(): boolean
}): Scout => {
  let timer: ReturnType<typeof setTimeout> | null = null
  let looking: Promise<void> = Promise.resolve()
  let stopped = false

  const look = async () => {
    const sql = connect(options.url, {
      max: 1,
      name: 'kairan scout',
      judge: options.primary.follow,
    })
    try {
      await Promise.race([sql`select`, Bun.sleep(options.everyMs)])
    } catch {
      // The address leads nowhere, or elsewhere: the judge has told whom it concerns.
    } finally {
      await sql.end({ timeout: 0 })
    }
  }

  const schedule = () => {
    if (stopped) return
    // Not all instances at once.
    const ms = options.everyMs * (0.75 + Math.random() / 2)
    timer = setTimeout(() => {
      looking = options.isNeeded() ? look() : Promise.resolve()
      void looking.then(schedule)
    }, ms)
  }

  return {
    start() {
      if (!timer) schedule()
    },
    async stop() {
      stopped = true
      if (timer) clearTimeout(timer)
      await looking
    },
  }
}
