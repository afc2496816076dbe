import { expect, test } from 'bun:test'
import { denied, login, stateOf } from '../support/logins.ts'
import { migrated } from '../support/schema.ts'

const isMuted = async (
  { sql }: Pick<Awaited<ReturnType<typeof migrated>>, 'sql'>,
  channel: string,
  type: string | null,
  userId = '42',
) => {
  const [row] = await sql`select kairan.is_muted(${userId}, ${channel}, ${type}) as is`
  return row?.is
}

test('a type is muted by its name or a beginning, a channel by its name, until then or for ever', async () => {
  await using db = await migrated()
  const { sql } = db
  await sql`
    insert into kairan.mutes (user_id, type, channel, until) values
      ('42', 'news.*', null, null), ('42', '100%', null, null), ('42', null, 'org-7', null),
      ('42', 'a_b*', null, now() + interval '1 hour'), ('42', 'late', null, now() - interval '1 s'), ('7', '*', null, null)`
  const types = ['news.sport', 'news', 'new', '100%', '1000', 'a_bc', 'axbc', 'late', null]
  expect(await Promise.all(types.map(type => isMuted(db, 'user-42', type)))).toEqual([
    true,
    false,
    false,
    true,
    false,
    true,
    false,
    false,
    false,
  ])
  expect(await isMuted(db, 'org-7', null)).toBe(true)
  expect(await isMuted(db, 'org-70', 'x')).toBe(false)
  expect(await isMuted(db, 'all-users', null, '7')).toBe(true)
  // As the inbox has it.
  const [row] = await sql`
    select array(select coalesce(t, '') like any(m.types) from unnest(${types}::text[]) with ordinality t (t, n) order by n) as muted
    from kairan.mutes_of('42') m`
  expect(row?.muted).toEqual([true, false, false, true, false, true, false, false, false])
})

test('replacing keeps since of what stays, and each change tells once, with a higher revision', async () => {
  await using db = await migrated()
  const { sql } = db
  const set = async (mutes: object[]) => {
    await sql`delete from kairan.user_changes`
    await sql`select kairan.set_mutes('42', ${sql.json(mutes.map(mute => ({ ...mute })))})`
    const [row] = await sql`
      select (select count(*)::int from kairan.user_changes) as told,
        (select revision from kairan.inboxes where user_id = '42')::float8 as revision,
        (select jsonb_object_agg(coalesce(type, channel), since) from kairan.mutes) as muted`
    return row
  }
  const first = await set([{ type: 'news.*' }, { channel: 'org-7' }])
  const same = await set([{ channel: 'org-7' }, { type: 'news.*' }, { type: 'news.*' }])
  expect([same?.told, same?.revision, same?.muted]).toEqual([0, first?.revision, first?.muted])
  const later = await set([
    { type: 'news.*', until: '2100-01-01T00:00:00Z' },
    { type: 'past', until: '2000-01-01T00:00:00Z' },
  ])
  expect(Object.keys(later?.muted)).toEqual(['news.*'])
  expect(later?.muted['news.*']).toBe(first?.muted['news.*'])
  expect(later?.revision).toBeGreaterThan(first?.revision)
  expect(later?.told).toBeGreaterThan(0)
  // What has ended a day ago is removed, and nobody is told.
  await sql`update kairan.mutes set until = now() - interval '2 days'`
  await sql`delete from kairan.user_changes`
  const [pruned] = await sql`select kairan.prune_mutes() as n`
  expect([pruned?.n, (await sql`select from kairan.user_changes`).length]).toEqual([1, 0])
})

test('every column has a limit that SQL names, and a user at most 200 rows', async () => {
  await using db = await migrated()
  const { sql } = db
  const refused = async (row: Record<string, string | null>) => {
    const attempt = sql`insert into kairan.mutes ${sql({ user_id: '42', ...row })}`
    return attempt.then(
      () => 'stored',
      error => String(error.constraint_name ?? error.message),
    )
  }
  expect(await refused({})).toBe('either_a_type_or_a_channel')
  expect(await refused({ type: 'a', channel: 'b' })).toBe('either_a_type_or_a_channel')
  const long = 'type_of_1_to_200_characters_or_a_beginning_and_a_star'
  expect(await refused({ type: '' })).toBe(long)
  expect(await refused({ type: 'x'.repeat(201) })).toBe(long)
  expect(await refused({ type: `${'x'.repeat(200)}*` })).toBe('stored')
  expect(await refused({ channel: 'a b' })).toBe('channel_without_spaces_commas_and_stars')
  expect(await refused({ channel: 'x'.repeat(251) })).toBe(
    'channel_without_spaces_commas_and_stars',
  )
  expect(await refused({ type: 'a', user_id: 'x'.repeat(201) })).toBe(
    'user_id_without_spaces_and_commas',
  )
  const forever = sql`insert into kairan.mutes (user_id, type, until) values ('42', 'a', 'infinity')`
  expect(await forever.catch(error => error.constraint_name)).toBe(
    'until_a_moment_between_1970_and_9999',
  )
  await sql`delete from kairan.mutes`
  const many = (from: number, to: number) => sql`
    insert into kairan.mutes (user_id, type) select '42', 't' || n from generate_series(${from}::int, ${to}::int) n`
  await many(1, 200)
  expect(await many(201, 201).catch(error => error.message)).toBe(
    'kairan: the user 42 would have more than 200 mutes',
  )
})

test('a reader may read them and ask, a publisher neither, and only the service and the owner write', async () => {
  await using db = await migrated()
  const insert = `insert into kairan.mutes (user_id, type) values ('42', 'a')`
  const call = `select kairan.is_muted('42', 'a', 'b')`
  const states = async (...groups: string[]) => {
    await using person = await login(db, ...groups)
    return await Promise.all(
      [insert, 'select from kairan.mutes', call].map(text => stateOf(person.sql.unsafe(text))),
    )
  }
  expect(await states('kairan_reader')).toEqual([denied, null, null])
  expect(await states('kairan_publisher')).toEqual([denied, denied, denied])
  expect(await states('kairan_service')).toEqual([null, null, null])
})

test('a user who is called * mutes for nobody else, and nobody else is looked up', async () => {
  await using db = await migrated()
  const { sql } = db
  await sql`insert into kairan.mutes (user_id, type) values ('*', 'news'), ('42', 'news')`
  const changes = await sql`select change from kairan.user_changes`
  expect(changes.map(({ change }) => change)).toEqual([
    { action: 'reauthorize', userIds: ['*', '42'] },
  ])
  expect(await isMuted(db, 'user-7', 'news', '7')).toBe(false)
})
