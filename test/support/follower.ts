import postgres from 'postgres'
import { eventually } from './eventually.ts'
import { login } from './logins.ts'
import { shop } from './shop.ts'

/** A shop with a service, and the login of a program that takes follow-ups. */
export const followedShop = async () => {
  await using stack = new AsyncDisposableStack()
  const opened = stack.use(await shop())
  const { sql } = opened
  const follower = stack.use(await login({ url: opened.url, sql }, 'kairan_follower'))
  const worker = postgres(follower.url, { max: 2, onnotice: () => undefined })
  stack.defer(() => worker.end({ timeout: 1 }))
  const kept = stack.move()
  return {
    sql,
    name: follower.name,
    /** As that login. */
    worker,
    /** Publishes for users who do not receive it in time. */
    async missed(...users: string[]) {
      await sql`
        select kairan.publish('user-' || u, '{"orderId": 7}', 'order.shipped', follow_up_after => '1 hour')
        from unnest(${users}::text[]) u`
      await eventually(async () => {
        const rows = await sql`select from kairan.follow_up_due`
        return rows.length === users.length
      })
      await sql`update kairan.follow_up_due set due_at = now() - interval '1 second'`
    },
    /** What became of each, by user. */
    async outcomes() {
      const rows = await sql<{ user_id: string; outcome: string }[]>`
        select user_id, case when finished_at is null then 'open' else 'finished' end || coalesce(': ' || error, '') as outcome
        from kairan.follow_ups`
      return Object.fromEntries(rows.map(({ user_id, outcome }) => [user_id, outcome]))
    },
    /** Makes what was postponed available. */
    again: () => sql`update kairan.follow_ups set available_at = now() where error is not null`,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}
