import type { Cursor } from './cursor.ts'
import type { Hub } from './hub.ts'
import type { Log } from './log.ts'

/** Why a stream can't go on at its cursor. */
export type Gap = {
  /** In words for a person who looks at the stream. */
  reason: string
  /** How many events are not sent, where that can still be known. */
  missed?: number
}

/** Whether something after this cursor can't be replayed; null when the stream resumes exactly. */
export const gapAfter = async (
  { epoch, seq }: Cursor,
  channels: readonly string[],
  { hub, log, replayLimit }: { hub: Hub; log: Log; replayLimit: number },
): Promise<Gap | null> => {
  if (epoch !== hub.epoch) return { reason: 'The cursor is of another log.' }
  if (hub.recent.covers(seq) && hub.recent.countAfter(seq) <= replayLimit) return null

  const survey = await log.survey(channels, seq, replayLimit + 1)
  if (survey.epoch !== epoch) return { reason: 'The cursor is of another log.' }
  if (seq > survey.head) return { reason: 'The cursor is ahead of the log.' }
  if (seq < survey.floor) return { reason: 'Events after the cursor are no longer kept.' }
  if (survey.missed > replayLimit) {
    return { reason: `More than ${replayLimit} events were missed.`, missed: survey.missed }
  }
  return null
}
