import { join } from 'node:path'
import { SQL } from 'bun'

export type Mail = { to: string; subject: string; text: string }

type FollowUp = { id: string; name: string; item: string }

/**
 * Sends an e-mail to customers who were away when their order shipped. In production this is a program of its own, with
 * the role kairan_follower and with nodemailer: see docs/recipes/email.md. Resolves with what stops it.
 */
export const createMailer = async (
  databaseUrl: string,
  send: (mail: Mail) => Promise<void>,
): Promise<() => Promise<void>> => {
  const sql = new SQL(databaseUrl, { max: 2 })
  await sql.unsafe(await Bun.file(join(import.meta.dir, 'away.sql')).text())
  let isStopped = false

  const deliver = async ({ id, name, item }: FollowUp) => {
    try {
      await send({
        to: `${name} <${name.toLowerCase()}@example.com>`,
        subject: 'Your order was shipped',
        text: `${item} is on its way to you.`,
      })
      await sql`select kairan.finish_follow_up(${id}::bigint)`
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      await sql`select kairan.postpone_follow_up(${id}::bigint, ${reason})`
    }
  }

  const run = async () => {
    while (!isStopped) {
      try {
        const taken: FollowUp[] = await sql`
          select f.id::text, u.name, f.payload ->> 'item' as item
          from kairan.take_follow_ups(10) f join users u on u.id = f.user_id`
        await Promise.all(taken.map(deliver))
        if (taken.length > 0) continue
      } catch (error) {
        // What was taken is given back.
        console.error(error)
      }
      await Bun.sleep(500)
    }
  }

  const running = run()
  return async () => {
    isStopped = true
    await running
    await sql.end()
  }
}
