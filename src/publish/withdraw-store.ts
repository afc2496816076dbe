import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type { Withdraw } from './withdraw-routes.ts'

/** Withdraws with `kairan.withdraw`. */
export const createWithdraw = (database: Database): Withdraw => ({
  async channelsOf(id) {
    const [row] = await runForClient(
      database,
      sql => sql<{ channels: string[] }[]>`
        select to_jsonb(channels) as channels from kairan.notifications where id = ${id}::uuid
        union all
        select to_jsonb(channels) from kairan.scheduled where id = ${id}::uuid and error is null`,
    )
    return row?.channels ?? null
  },
  async withdraw(id) {
    const [row] = await runForClient(
      database,
      sql => sql<{ done: boolean }[]>`select kairan.withdraw(${id}::uuid) as done`,
    )
    return row?.done ?? false
  },
})
