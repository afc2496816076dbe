import type { Cursor } from '../log/cursor.ts'
import type { Log } from '../log/log.ts'
import type { Hub } from './hub.ts'

/** Why a stream can't go on at its cursor. */
export type Gap = {
  /** `retention`: they were removed; `limit`: they are more than REPLAY_LIMIT; `log`: unknown cursor. */
  reason: 'retention' | 'limit' | 'log'
  /** How many events are not sent, where that can still be known. */
  missed?: number
}

/** Whether something after this cursor can't be replayed; null when the stream resumes exactly. */
export const gapAfter = async (
  { epoch, seq }: Cursor,
  channels: readonly string[],
  { hub, log, replayLimit }: { hub: Hub; log: Log; replayLimit: number },
): Promise<Gap | null> => {
  if (epoch !== hub.epoch) return { reason: 'log' }
  if (hub.recent.covers(seq) && hub.recent.countAfter(seq) <= replayLimit) return null

  const survey = await log.survey(channels, seq, replayLimit + 1)
  if (survey.epoch !== epoch) return { reason: 'log' }
  if (seq > survey.head) return { reason: 'log' }
  if (seq < survey.floor) return { reason: 'retention' }
  if (survey.missed > replayLimit) return { reason: 'limit', missed: survey.missed }
  return null
}
