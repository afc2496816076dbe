import { expect, test } from 'bun:test'
import { follow } from '../../src/log/log-store.ts'
import { lookAtChanges } from '../../src/log/user-change-store.ts'
import { connect } from '../../src/postgres/connect.ts'
import { migrated } from '../support/schema.ts'

test('while a transaction is open, what was told and read since it began is not read again', async () => {
  await using db = await migrated()
  const open = await db.sql.reserve()
  await open`begin`
  await open`select kairan.reauthorize('open')`
  const tell = (first: number, last: number) => db.sql`
    select kairan.reauthorize(n::text) from generate_series(${first}::int, ${last}::int) n`
  await tell(1, 20_000)
  const service = connect(db.url, { max: 1, name: 'test', direct: true })
  await service`select from kairan.number()`
  const [now] = await service<{ seen: string }[]>`select pg_current_snapshot()::text as seen`
  const seen = now?.seen ?? ''

  const looks = {
    async number() {
      const [row] = await service<{ state: { changed: boolean } }[]>`
        select state from kairan.number(1000, 1000, ${seen}::text::pg_snapshot) limit 1`
      return row?.state.changed
    },
    async follow() {
      const known = { after: 0, seen, batch: null, awakeMs: 0, owner: 0 }
      return (await follow(service, known)).changed
    },
    async 'look at changes'() {
      const { told } = await lookAtChanges(service, seen, 0)
      return told.map(({ change }) => JSON.parse(change).userId)
    },
  }
  const read = async () => {
    await service`select pg_stat_force_next_flush()`
    const [row] = await service<{ rows: number }[]>`
      select idx_tup_fetch::float8 + seq_tup_read as rows from pg_stat_user_tables
      where relid = 'kairan.user_changes'::regclass`
    return row?.rows ?? 0
  }
  const answers = async () => {
    const found: Record<string, unknown> = {}
    for (const [name, look] of Object.entries(looks)) {
      const before = await read()
      found[name] = await look()
      expect((await read()) - before).toBeLessThan(10)
    }
    return found
  }
  expect(await answers()).toEqual({ number: false, follow: false, 'look at changes': [] })
  await tell(20_001, 20_002)
  const two = { number: true, follow: true, 'look at changes': ['20001', '20002'] }
  expect(await answers()).toEqual(two)

  // What was open comes, although its id is the lowest.
  await open`commit`
  open.release()
  expect(await looks['look at changes']()).toEqual(['open', '20001', '20002'])
  await service.end()
}, 60_000)
