import { expect, test } from 'bun:test'
import { openReady } from '../support/client.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

/** Moments that Postgres can hold, of which JSON can't write most. */
const moments = [
  ...['infinity', '-infinity', '294276-12-31', '10000-01-01', '9999-12-31 23:59:59.9999Z'],
  ...['275760-09-13 00:00:01Z', '0001-01-01', '0001-12-31 BC', '4714-11-24 BC'],
]

/** Statements that write one. Some are refused. */
const statements = [
  `select kairan.publish('user-1', '{}', expires_at => '$')`,
  `select kairan.publish('user-1', '{}', expires_at => '$', follow_up_after => '1 day')`,
  `select kairan.publish('user-1', '{}', send_at => '$')`,
  `select kairan.publish('user-1', '{}', send_at => now() + interval '1 day', expires_at => '$')`,
  `insert into kairan.notifications (channels, payload, created_at) values ('{user-1}', '{}', '$')`,
  `insert into kairan.members (channel, user_id, since) values ('org-' || random(), '1', '$')`,
  `insert into kairan.mutes (user_id, channel, until) values ('1', 'org-' || random(), '$')`,
]

const pages = [
  ...['/notifications?limit=100', '/notifications/preferences'],
  ...['/admin/scheduled', '/admin/deliveries', '/admin/follow-ups', '/admin/overview'],
  '/admin/scheduled?limit=100',
]

// The answers and the events are compared with the description of the API, after the test.
test('whatever moment a publisher writes, all that shows it has a date, and delivery goes on', async () => {
  await using db = await database()
  await using service = await serve(db)
  await db.sql`insert into kairan.roles values ('1', 100)`
  const token = await tokenFor('1')
  await using client = await openReady(service.url, { token })
  const begin = client.lastEventId ?? ''
  for (const moment of moments) {
    for (const statement of statements) {
      await db.sql.unsafe(statement.replace('$', moment)).catch((error: Error) => {
        expect(error.message).toMatch(/^kairan: |violates check constraint/)
      })
    }
    await db.sql`select kairan.publish('user-1', ${db.sql.json({ moment })})`
    const came = () => client.events.some(({ payload }) => payload.moment === moment)
    await eventually(came)
    for (const page of pages) {
      const answer = await fetch(`${service.url}${page}`, {
        headers: { authorization: `Bearer ${token}` },
      })
      expect([moment, page, answer.status]).toEqual([moment, page, 200])
    }
  }
  await using returning = await openReady(service.url, { token, lastEventId: begin })
  await returning.atLeast(client.events.length)
  const dates = client.events.flatMap(({ expiresAt }) => expiresAt ?? [])
  expect(dates.length).toBeGreaterThan(0)
  for (const date of dates) expect(date).toMatch(/^\d{4}-/)
  expect(service.logs.filter(({ level }) => level === 'error')).toEqual([])
})
