import type { Count } from './count.ts'
import type { Frame } from './frames.ts'
import type { Control, State } from './types.ts'

/** What the leading tab tells the others. */
export type Told = {
  state: State
  count: Count | null
  /** Whose answers it gets. */
  user: string | null
  /** Where its stream was before a frame, and the frame. */
  at: string | null
  frame: Frame | null
  /** What its stream carries besides its own channels. */
  also: Pick<Control, 'channels' | 'extra'>
}

/**
 * What the other tabs say: to read on after this cursor; to connect `now` if it is not connected; a count that one of
 * them got; which channels one of them listens to.
 */
export type Asked = {
  state?: undefined
  after?: string | null
  now?: boolean
  count?: Count
  tab?: number
  channels?: string[]
}
