import type { Database } from '../postgres/database.ts'
import { covers, type Snapshot, sees } from './snapshot.ts'
import { parseUserChange, type UserChange } from './user-change.ts'
import { lookAtChanges, type Told } from './user-change-store.ts'
import { parseWithdrawal, type Withdrawal } from './withdrawal.ts'

/** All that was told of users between two snapshots. */
export type ToldBetween = { since: Snapshot; now: Snapshot; told: readonly Told[] }

/** What this instance has read of what was told of users. */
export type Changes = {
  /** What it has read: all that was committed before this snapshot. Null when that can't be known. */
  readonly seen: Snapshot | null
  /** Whether some may have been missed all the same: perhaps another server answers now. */
  readonly isUnsure: boolean
  doubt(): void
  /** Another cluster's transactions have nothing to do with those in `seen`. */
  forget(): void
  /**
   * Reads what is new, if something is; `isSame` says whether the log is that which was read until now. Nobody is told
   * where another log begins: its streams end, and are authorised when they return.
   */
  read(isNew: boolean, isSame: boolean): Promise<void>
  /** There was nothing new in this snapshot. */
  sawNothingIn(now: Snapshot): void
  /** What was read since the last call, for instances that read nothing themselves. */
  take(): ToldBetween | null
  /** Whether `between`, after what is known here, is all that was told. */
  continues(between: ToldBetween): boolean
  /** Applies what of it is new here. */
  apply(between: ToldBetween): void
}

/** Changes are removed after ten minutes (kairan.prune_user_changes). */
const keptMs = 5 * 60_000
/** So many are passed on to other instances, of so many characters; when there are more, each reads them itself. */
const mostPassedOn = 200
const mostCharacters = 1024 * 1024

export const createChanges = (options: {
  database: Database
  onChange(change: UserChange): void
  onWithdrawn(withdrawn: Withdrawal[]): void
  /** Of what was dispatched before, some may have been withdrawn: which is not known. */
  onWithdrawnLost(): void
  /** What was told of users until now is not known. */
  onChangesLost(): void
}): Changes => {
  const { database } = options
  let seen: Snapshot | null = null
  /** When `seen` was last compared with the table. */
  let seenAt = 0
  let isUnsure = true
  let passedOn: { since: Snapshot; told: Told[]; characters: number } | null = null

  const passOn = (told: readonly Told[]) => {
    if (!passedOn) return
    passedOn.told.push(...told)
    for (const { change } of told) passedOn.characters += change.length
    if (passedOn.told.length > mostPassedOn || passedOn.characters > mostCharacters) passedOn = null
  }

  const apply = (told: readonly Told[]) => {
    const withdrawn: Withdrawal[] = []
    for (const { change } of told) {
      const parsed = parseUserChange(change)
      if (parsed) options.onChange(parsed)
      const withdrawal = parseWithdrawal(change)
      if (withdrawal) withdrawn.push(withdrawal)
    }
    if (withdrawn.length > 0) options.onWithdrawn(withdrawn)
  }

  const noticeAge = () => {
    const before = seenAt
    seenAt = Date.now()
    // It stood still for so long that some may have been removed.
    if (seenAt - before > keptMs) {
      seen = null
      isUnsure = true
    }
  }

  /** Reads all that is new, in parts. Resolves with the snapshot up to which it is known then. */
  const readAll = async (since: Snapshot | null) => {
    let now: Snapshot | null = null
    for (let after: number | null = 0; after !== null; ) {
      const from: number = after
      const look = await database.run(sql => lookAtChanges(sql, since, from))
      now ??= look.now
      after = look.after
      if (look.isOlder) isUnsure = true
      passOn(look.told)
      apply(look.told)
    }
    return now
  }

  return {
    get seen() {
      return seen
    },
    get isUnsure() {
      return isUnsure
    },
    doubt() {
      isUnsure = true
    },
    forget() {
      seen = null
    },
    async read(isNew, isSame) {
      if (!isSame) seen = null
      noticeAge()
      if (!isNew && !isUnsure && seen !== null) return
      const since = seen
      if (since !== null) passedOn ??= { since, told: [], characters: 0 }
      seen = await readAll(since)
      if (since === null || isUnsure) passedOn = null
      if (since === null && isSame) options.onWithdrawnLost()
      if (isUnsure && isSame) options.onChangesLost()
      isUnsure = false
    },
    sawNothingIn(now) {
      if (seen === null || isUnsure || (passedOn?.told.length ?? 0) > 0) return
      seen = now
      passedOn = null
    },
    take() {
      if (seen === null || isUnsure) return null
      const { since, told } = passedOn ?? { since: seen, told: [] }
      passedOn = { since: seen, told: [], characters: 0 }
      return { since, now: seen, told }
    },
    continues: ({ since, now }) =>
      seen !== null && !isUnsure && covers(seen, since) && (covers(seen, now) || covers(now, seen)),
    apply({ now, told }) {
      const before = seen
      if (before === null) return
      apply(told.filter(({ xid }) => !sees(before, xid)))
      if (covers(now, before)) seen = now
    },
  }
}
