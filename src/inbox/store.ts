import { KairanError } from '../lib/errors.ts'
import { type Cursor, formatInboxCursor } from '../log/cursor.ts'
import { jsonOf } from '../log/event.ts'
import { type EventRow, eventColumns, toEvent } from '../log/log-store.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import { textArray } from '../postgres/text-array.ts'
import type { Count, Inbox, InboxChange, InboxQuery, Reader } from './inbox.ts'

/** About how many bytes of payloads one page has, at the most. */
const pageBytes = 4 * 1024 * 1024

/** The inbox in `kairan.inboxes`. */
export const createInbox = (
  database: Database,
  options: {
    /** Whether what is on shared channels from before a user counts as read. */
    newUsersRead: boolean
  },
): Inbox => {
  const { newUsersRead } = options
  const rowsOf = async (reader: Reader, query: InboxQuery) => {
    const read = () => runForClient(database, sql => readPage(sql, reader, query, newUsersRead))
    const rows = await read()
    if (!rows[0]?.is_new) return rows
    await runForClient(database, sql => sql`select kairan.arrive(${reader.userId})`)
    return read()
  }
  return {
    async page(reader, query) {
      const rows = await rowsOf(reader, query)
      const [first] = rows
      if (!first) throw new Error('kairan.inbox_page gave no answer')
      const { epoch } = first
      requireSameLog(epoch, query.before)
      const items = rows.filter(row => row.seq !== null)
      const last = items.at(-1)
      // A page that its bytes have cut off goes on after the last that is on it.
      const next = last && items.length < first.found ? last.seq : first.next
      return {
        items: items.map(row =>
          jsonOf(toEvent(row), {
            cursor: formatInboxCursor({ epoch, seq: row.seq }),
            read: row.read,
          }),
        ),
        next: next === null ? null : { epoch, seq: next },
        ...countOf(first),
      }
    },
    async mark(reader, change) {
      const [row] = await runForClient(database, sql => markIn(sql, reader, change, newUsersRead))
      if (!row) throw new Error('kairan.mark_inbox gave no answer')
      requireSameLog(row.epoch, 'upTo' in change ? change.upTo : null)
      return countOf(row)
    },
  }
}

type Counted = {
  unread: number
  unseen: number
  is_least: boolean
  is_unseen_least: boolean
  epoch: string
  head: number
  revision: number
  time: string
  /** When the first of them expires, as JSON has it. */
  until: string | null
}
type PageRow = Counted & { next: number | null; found: number; is_new: boolean }
type Item = EventRow & { read: boolean }

// One statement, so one snapshot: the functions in it are stable, and see what it sees.
const readPage = (
  sql: Sql,
  { userId, channels, only }: Reader,
  query: InboxQuery,
  newUsersRead: boolean,
) => sql<(PageRow & (Item | { seq: null }))[]>`
  select ${counted(sql)}, page.is_new, page.next, cardinality(page.seqs) as found, item.*
  from kairan.inbox_page(
    ${userId},
    ${textArray(sql, only ?? channels)},
    ${query.types === null ? null : textArray(sql, query.types)},
    ${query.before?.seq ?? Number.MAX_SAFE_INTEGER},
    ${query.unreadOnly},
    ${query.archivedOnly},
    ${query.limit},
    ${newUsersRead}
  ) page
  left join lateral (
    select ${eventColumns(sql)}, page.read @> d.seq as read
    from (
      select d.seq, d.channel, d.notification_id, sum(n.bytes) over (order by d.seq desc) - n.bytes as before
      from unnest(page.seqs) s (seq)
      join kairan.numbered d on d.seq = s.seq
      join kairan.notifications n on n.id = d.notification_id
    ) d
    join kairan.notifications n on n.id = d.notification_id
    where d.before < ${pageBytes}
  ) item on true
  order by item.seq desc`

const markIn = (
  sql: Sql,
  { userId, channels, only, isCut }: Reader,
  change: InboxChange,
  newUsersRead: boolean,
) => sql<Counted[]>`
  select ${counted(sql)}
  from kairan.mark_inbox(
    ${userId},
    ${textArray(sql, channels)},
    ${sql.json({ ...inSql(change), ...(isCut && { cut: true }) })},
    ${only === null ? null : textArray(sql, only)},
    ${newUsersRead}
  ) page`

const counted = (sql: Sql) => sql`
  page.epoch, page.head, page.unread, page.unseen, page.is_least, page.is_unseen_least,
  page.revision,
  kairan.iso(now()) as time, kairan.iso(page.expires_at) as until`

const inSql = (change: InboxChange) => {
  if ('ids' in change) return change
  if ('upTo' in change) return { ...change, upTo: change.upTo.seq, epoch: change.upTo.epoch }
  return { all: true, upTo: Number.MAX_SAFE_INTEGER }
}

const countOf = ({ unread, unseen, until, ...row }: Counted): Count => ({
  unread,
  ...(row.is_least ? { unreadIsLeast: true as const } : {}),
  unseen,
  ...(row.is_unseen_least ? { unseenIsLeast: true as const } : {}),
  ...(until === null ? {} : { unreadUntil: until }),
  head: { epoch: row.epoch, seq: row.head },
  ...(row.revision > 0 ? { revision: row.revision } : {}),
  time: row.time,
})

const requireSameLog = (epoch: string, cursor: Cursor | null) => {
  if (cursor === null || cursor.epoch === epoch) return
  throw new KairanError(
    'bad_cursor',
    'The cursor is of another log: the database was restored or replaced. Read the inbox anew.',
  )
}
