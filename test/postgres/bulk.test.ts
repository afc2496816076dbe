import { expect, test } from 'bun:test'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type postgres from 'postgres'
import { sequence } from '../support/log.ts'
import { migrated } from '../support/schema.ts'

/** One transaction publishes so many. BULK_ROWS=1000000 is the full size. */
const rows = Number(process.env.BULK_ROWS ?? 100_000)
/** What an instance numbers in one turn. */
const piece = 4000
const limitMs = 30_000 + rows

const ways = {
  async insert(sql: postgres.Sql) {
    await sql`
      insert into kairan.notifications (channels, payload)
      select array['user-' || n % 1000], jsonb_build_object('n', n) from generate_series(1, ${rows}::int) n`
  },
  async copy(sql: postgres.Sql) {
    const lines = function* () {
      for (let n = 1; n <= rows; n++) yield `{user-${n % 1000}}\t{"n": ${n}}\n`
    }
    const into = await sql`copy kairan.notifications (channels, payload) from stdin`.writable()
    await pipeline(Readable.from(lines()), into)
  },
}

for (const [name, publish] of Object.entries(ways)) {
  test(
    `numbers what one ${name} of ${rows} rows publishes in its order, in pieces between which the rest goes on`,
    async () => {
      await using db = await migrated()
      await sequence(db.sql)
      await publish(db.sql)

      // The snapshot of the first piece has the whole transaction, and not what is committed from now on.
      expect(await sequence(db.sql, piece)).toEqual({ assigned: piece, head: piece })
      await db.sql`select kairan.publish('all-users', '{"n": 0}')`
      await db.sql`select kairan.reauthorize('42')`
      const [first] = await db.sql`
        select state from kairan.number(${piece}, 0, '1:1:') limit 1`
      expect(first?.state).toMatchObject({ assigned: piece, more: true, changed: true })

      let left = rows + 1 - 2 * piece
      while (left > 0) {
        const { assigned } = await sequence(db.sql, piece)
        // The last piece of the transaction is smaller. What was committed later comes after it.
        expect(assigned).toBe(left > 1 ? Math.min(piece, left - 1) : 1)
        left -= assigned
      }
      expect(await sequence(db.sql, piece)).toMatchObject({ assigned: 0, head: rows + 1 })
      const [log] = await db.sql`
        select count(*)::int as count, count(distinct d.seq)::int as seqs,
          count(*) filter (where (n.payload ->> 'n')::int % ${rows + 1}::int = d.seq % ${rows + 1}::int)::int as in_order
        from kairan.numbered d join kairan.notifications n on n.id = d.notification_id`
      expect(log).toEqual({ count: rows + 1, seqs: rows + 1, in_order: rows + 1 })
    },
    limitMs,
  )
}
