import type { Database } from '../postgres/database.ts'
import { refusalOf, runForClient } from '../postgres/errors.ts'
import type { Publish } from './request.ts'

type Row = {
  id: string
  repeated: boolean
  code: string | null
  message: string | null
  hint: string | null
}

/** Publishes with `kairan.publish_items`: one statement, and so one commit, for all notifications. */
export const createPublisher =
  (database: Database): Publish =>
  async (publications, body, publisher, traceparent = null) => {
    const rows = await runForClient(
      database,
      sql => sql<Row[]>`
        select id, repeated, code, message, hint
        from (select set_config('kairan.traceparent', ${traceparent ?? ''}, true) as traceparent) t
        -- Used in the call, so that it is evaluated first.
        cross join lateral kairan.publish_items(
          case when t.traceparent is not null then ${sql.json(publications)}::jsonb end, ${body}::text::jsonb,
          ${`token:${publisher}`}::text
        )
        order by place`,
    )
    return rows.map(({ id, repeated, code, message, hint }) => {
      if (code === null || message === null) return { id, repeated }
      const refusal = refusalOf(code, message, hint)
      if (refusal) return refusal
      throw new Error(`kairan.publish_items gave ${code}`)
    })
  }
