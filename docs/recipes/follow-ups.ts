import type { Sql } from 'postgres'

export type FollowUp = {
  id: string
  user_id: string
  type: string | null
  payload: Record<string, unknown>
  attempts: number
}

/** Thrown when a follow-up can never be sent: the user has no address, for example. */
export class Undeliverable extends Error {}

/** Takes follow-ups and sends each. Any number of these may run. Call the function that it returns to stop it. */
export const sendFollowUps = (sql: Sql, send: (followUp: FollowUp) => Promise<void>) => {
  let isStopped = false

  const deliver = async (followUp: FollowUp) => {
    try {
      await send(followUp)
      await sql`select kairan.finish_follow_up(${followUp.id})`
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (error instanceof Undeliverable)
        await sql`select kairan.finish_follow_up(${followUp.id}, ${reason}, ${followUp.attempts})`
      else
        await sql`select kairan.postpone_follow_up(${followUp.id}, ${reason}, null, ${followUp.attempts})`
    }
  }

  const run = async () => {
    while (!isStopped) {
      try {
        const taken = await sql<FollowUp[]>`
          select id, user_id, type, payload, attempts from kairan.take_follow_ups(10)`
        await Promise.all(taken.map(deliver))
        if (taken.length > 0) continue
      } catch (error) {
        // The database is away. What was taken is given back in five minutes.
        console.error(error)
      }
      await new Promise(resolve => setTimeout(resolve, 1000))
    }
  }

  const running = run()
  return () => {
    isStopped = true
    return running
  }
}
