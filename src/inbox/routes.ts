import { Elysia } from 'elysia'
import type { CallerPlugin } from '../auth/caller-routes.ts'
import type { Reading } from '../auth/standing.ts'
import { answer, uncached } from '../http/answer.ts'
import { createAnswerBudget } from '../http/answer-budget.ts'
import { readObject } from '../http/body.ts'
import { userHeader } from '../http/user-header.ts'
import { createRate } from '../lib/rate-limit.ts'
import type { Turns } from '../lib/turns.ts'
import { formatInboxCursor } from '../log/cursor.ts'
import type { AsReader, Count, Inbox, InboxChange } from './inbox.ts'
import type { Receipts } from './receipts.ts'
import {
  readArchive,
  readInboxChange,
  readInboxQuery,
  readOnly,
  readReceipt,
  readSeen,
} from './request.ts'
import { inboxOperations } from './schema.ts'

type Options = {
  caller: CallerPlugin
  inbox: Inbox
  receipts: Receipts
  asReader: AsReader
  /** Lets one request of a user read or write at a time. */
  turns: Turns
}

/**
 * The caller's inbox: `GET /notifications` answers with a page of it, `POST /notifications/read`, `/seen` and
 * `/archive` change it, and `POST /notifications/receipts` confirms that notifications have arrived.
 */
export const inboxRoutes = (options: Options) => {
  const asReader: AsReader = (reading, only, work) =>
    options.turns.run(reading.userId, () => options.asReader(reading, only, work))
  const budget = createAnswerBudget({
    mostBytes: 64 * 1024 * 1024,
    mostBytesPerUser: 8 * 1024 * 1024,
  })
  const readRate = createRate({ perSecond: 50, burst: 250, what: 'pages of the inbox' })
  const rate = createRate({ perSecond: 50, burst: 500, what: 'changes of the inbox' })
  const change = async (
    caller: Reading,
    request: Request,
    read: (body: Record<string, unknown>) => InboxChange,
  ) => {
    const { object } = await readObject(request, maxBytes)
    const wanted = read(object)
    const only = readOnly(request)
    const count = await asReader(caller, only, reader => options.inbox.mark(reader, wanted))
    return answer(answerOf(count), { headers: headersOf(count, caller.userId) })
  }
  return new Elysia({ name: 'inbox' })
    .use(options.caller)
    .get(
      '/notifications',
      async ({ caller, request }) => {
        const { userId } = caller
        const query = readInboxQuery(request)
        budget.require(userId)
        const page = await asReader(caller, readOnly(request), reader =>
          options.inbox.page(reader, query),
        )
        const { items, next, ...count } = page
        // The notifications are JSON already. They are not parsed, so that numbers keep all their digits.
        const rest = JSON.stringify({
          next: next && formatInboxCursor(next),
          ...answerOf(count),
        })
        const text = `{"notifications":[${items.join(',')}],${rest.slice(1)}`
        return budget.respond(userId, text, {
          ...headersOf(count, userId),
          'content-type': 'application/json',
        })
      },
      { caller: { rate: readRate }, detail: inboxOperations['GET /notifications'].detail },
    )
    .post(
      '/notifications/read',
      ({ caller, request }) => change(caller, request, readInboxChange),
      {
        caller: { rate },
        parse: 'none',
        detail: inboxOperations['POST /notifications/read'].detail,
      },
    )
    .post('/notifications/seen', ({ caller, request }) => change(caller, request, readSeen), {
      caller: { rate },
      parse: 'none',
      detail: inboxOperations['POST /notifications/seen'].detail,
    })
    .post('/notifications/archive', ({ caller, request }) => change(caller, request, readArchive), {
      caller: { rate },
      parse: 'none',
      detail: inboxOperations['POST /notifications/archive'].detail,
    })
    .post(
      '/notifications/receipts',
      async ({ caller, request }) => {
        const { object } = await readObject(request, maxBytes)
        const ids = readReceipt(object)
        await asReader(caller, readOnly(request), reader => options.receipts.confirm(reader, ids))
        return new Response(null, { status: 204, headers: uncached })
      },
      {
        caller: { rate },
        parse: 'none',
        detail: inboxOperations['POST /notifications/receipts'].detail,
      },
    )
}

/** A count as JSON, but for the time, which goes into a header. */
const answerOf = ({ head, time: _, ...count }: Count) => ({
  ...count,
  cursor: formatInboxCursor(head),
})

const headersOf = ({ time }: Count, userId: string) => ({
  ...uncached,
  ...userHeader(userId),
  'kairan-time': time,
})

/** Largest body: a hundred ids and some more. */
const maxBytes = 16 * 1024
