import { expect, test } from 'bun:test'
import { saveRoleLevel } from '../../src/auth/roles-store.ts'
import { ask } from '../support/admin.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve } from '../support/service.ts'

const follow = async ({ sql }: TestDatabase, user: string) => {
  const [row] = await sql<{ id: string }[]>`
    select kairan.publish(${`user-${user}`}, '{}', follow_up_after => '1 hour') as id`
  const id = row?.id ?? ''
  await eventually(
    async () =>
      (await sql`select from kairan.follow_up_due where notification_id = ${id}`).length === 1,
  )
  return id
}

test('the list shows the state of each, explain says it in words, and what was given up is retried once', async () => {
  await using db = await database()
  await using service = await serve(db)
  await saveRoleLevel(db.url, 'boss', 100)
  const explained = async (id: string, user: string) =>
    (await ask(service.url, `explain?notification=${id}&user=${user}`)).followUp
  const id = await follow(db, 'due')
  expect(await explained(id, 'due')).toMatch(/^It is followed up if it is not received by 20/)
  expect(await explained(id, 'other')).toBeNull()
  const ids: Record<string, string> = {}
  for (const user of ['new', 'taken', 'failed', 'done', 'over']) ids[user] = await follow(db, user)
  await db.sql`update kairan.follow_up_due set due_at = now() - interval '1 second' where user_id <> 'due'`
  await eventually(async () => (await db.sql`select from kairan.follow_ups`).length === 5)
  await db.sql`update kairan.follow_ups set available_at = now() + interval '1 hour' where user_id = 'new'`
  await db.sql`select kairan.take_follow_ups(10)`
  await db.sql`update kairan.follow_ups set available_at = now() where user_id = 'new'`
  await db.sql`
    select kairan.postpone_follow_up(f.id, 'status 503', '1 hour') from kairan.follow_ups f where user_id = 'failed'`
  await db.sql`
    select kairan.finish_follow_up(f.id, case when user_id = 'over' then 'no such mailbox' end)
    from kairan.follow_ups f where user_id in ('done', 'over')`

  const { followUps, next } = await ask(service.url, 'follow-ups')
  expect(next).toBeNull()
  const states = followUps.map(
    ({ userId, state, error }: Record<string, string | null>) => `${userId} ${state} ${error}`,
  )
  expect(states.toSorted()).toEqual([
    'done finished null',
    'failed taken status 503',
    'new waiting null',
    'over given_up no such mailbox',
    'taken taken null',
  ])
  const sentences: Record<string, RegExp> = {
    new: /nobody has taken the follow-up yet/,
    taken: /it was taken at .* and is given back at/,
    failed: /attempt 1 at .* failed \(status 503\); the next is after/,
    done: /that was done at/,
    over: /given up at .*: no such mailbox/,
  }
  for (const [user, sentence] of Object.entries(sentences)) {
    expect(await explained(ids[user] ?? '', user)).toMatch(sentence)
  }

  const only = async (query: string) => (await ask(service.url, `follow-ups?${query}`)).followUps
  const [over] = await only('state=given_up')
  expect(over).toMatchObject({ userId: 'over', attempts: 1 })
  expect(await only('user=done')).toMatchObject([{ userId: 'done' }])
  const first = await ask(service.url, 'follow-ups?limit=2')
  const rest = await ask(service.url, `follow-ups?limit=10&before=${first.next}`)
  expect([first.followUps.length, rest.followUps.length, rest.next]).toEqual([2, 3, null])
  expect((await ask(service.url, 'follow-ups?state=lost')).status).toBe(400)

  const retry = () => ask(service.url, 'follow-ups/retry', { id: over.id })
  expect(await retry()).toMatchObject({ status: 200, retried: over.id })
  expect(await retry()).toMatchObject({ status: 404 })
  expect(await only('state=waiting')).toHaveLength(2)
  const { entries } = await ask(service.url, 'audit')
  expect(entries[0]).toMatchObject({ actor: 'boss', action: 'retry follow-up', target: over.id })
})
