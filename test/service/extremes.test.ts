import { expect, setDefaultTimeout, test } from 'bun:test'
import type postgres from 'postgres'
import { ask, makeAdmin } from '../support/admin.ts'
import { open, openReady } from '../support/client.ts'
import { database, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { pageOf } from '../support/inbox.ts'
import { login } from '../support/logins.ts'
import { tokenWith } from '../support/publish.ts'
import { serve, type TestService, tokenFor } from '../support/service.ts'

setDefaultTimeout(120_000)

const names = [
  `''`,
  `'*'`,
  `'a*'`,
  `'%\\_'`,
  `E'\\x01'`,
  `'user-1'`,
  `'all-users'`,
  `repeat('🎉', 200)`,
  `repeat('🎉', 250)`,
  `repeat('x', 150000)`,
  'null',
]
const ints = ['-2147483648', '-1', '0', '1025', '2147483647', 'null']
const bigints = ['-9223372036854775808', '-1', '9007199254740992', '9223372036854775807']
const times = [
  `'-infinity'`,
  `'infinity'`,
  `'4714-11-24 00:00:00+00 BC'`,
  `'0001-01-01Z'`,
  `'1969-12-31Z'`,
  `'9999-12-31Z'`,
  `'10000-01-01Z'`,
  `'294276-12-31 23:59:59.999999Z'`,
  'null',
]

/** What each type of column is filled with: what is odd, and what lies at the end of what it can be. */
const values: Record<string, string[]> = {
  text: names,
  'text[]': [`'{}'`, `'{null}'`, `'[5:5]={user-7}'`, `'{{user-7,user-8},{user-9,org-1}}'`],
  integer: ints,
  bigint: bigints,
  'timestamp with time zone': times,
  interval: [`'0'`, `'-1 s'`, `'5965232 years -2147483640 days 5 minutes'`, `'30 days'`],
  uuid: [`'00000000-0000-0000-0000-000000000000'`, `'ffffffff-ffff-ffff-ffff-ffffffffffff'`],
  jsonb: [
    `'{"n": 1e400}'`,
    `('{"n": 1' || repeat('0', 10000) || '}')::jsonb`,
    `(repeat('{"x":', 1500) || '1' || repeat('}', 1500))::jsonb`,
    `jsonb_build_object(repeat('k', 50000), 1)`,
    `'{"metadata": null, "__proto__": {"toJSON": 1}, "": ""}'`,
    `'[]'`,
    `'1e400'`,
  ],
}

/** An ordinary row of each table that others than the service write, and whether they change it or add to it. */
const tables: Record<string, { row: Record<string, string>; writer: string; verb: string }> = {
  notifications: {
    row: { channels: `'{user-7,org-1}'`, payload: `'{}'` },
    writer: 'kairan_publisher',
    verb: 'insert',
  },
  scheduled: {
    row: { channels: `'{user-7}'`, payload: `'{}'`, send_at: 'now()' },
    writer: 'kairan_publisher',
    verb: 'insert',
  },
  members: { row: { channel: `'org-1'`, user_id: `'7'` }, writer: 'owner', verb: 'insert' },
  roles: { row: { user_id: `'7'`, role_level: '1' }, writer: 'owner', verb: 'insert' },
  mutes: { row: { user_id: `'7'`, type: `'news.*'` }, writer: 'owner', verb: 'insert' },
  follow_ups: { row: {}, writer: 'kairan_follower', verb: 'update' },
}

/** What the service itself removes, or what is replaced. */
const keeps = ['notifications', 'follow_ups']

/** Every statement that the service runs again and again, or for many at once. */
const rounds = (sql: postgres.Sql) => [
  sql`select kairan.send_due()`,
  sql`select kairan.decide_follow_ups()`,
  sql`select kairan.take_follow_ups(10)`,
  sql`select kairan.postpone_follow_up(id, 'away', null, attempts) from kairan.follow_ups`,
  sql`select kairan.expire_after('-infinity', 0)`,
  sql`select kairan.settle()`,
  sql`select kairan.prune_tickets(), kairan.prune_user_changes(), kairan.prune_batches(), kairan.prune_leases()`,
  sql`select kairan.prune_scheduled('0'), kairan.prune_follow_ups('1 day'), kairan.prune_inbox(), kairan.prune_audit()`,
  sql`select kairan.prune_mutes()`,
  sql`select kairan.raise_floor('1 day')`,
  sql`select kairan.prune()`,
  sql`select count(*) from kairan.deliveries`,
  sql`select count(*) from kairan.confirmations`,
]

/** All that an admin may look at, of a notification that is there and of a user. */
const pages = (id: string) => [
  'overview',
  'history',
  'streams',
  'presence',
  'presence?channel=org-1',
  'deliveries',
  'deliveries?payload=x',
  `deliveries?payload=${encodeURIComponent('{"x":{"x":1}}')}`,
  `notifications/${id}`,
  `explain?notification=${id}&user=7`,
  `explain?notification=${id}&user=8`,
  'scheduled',
  'scheduled?limit=1',
  'follow-ups',
  'follow-ups?user=7',
  'audit',
  'system',
]

/** Others than those whose rows are odd notice nothing of them. */
const goesOn = async (db: TestDatabase, services: readonly TestService[], what: string) => {
  const [service, second = service] = services
  if (!service || !second) throw new Error('There is no service')
  for (const statement of rounds(db.sql)) await statement
  await using other = await open(second.url, { token: await tokenFor('8') })
  await other.control('ready')
  const [sent] = await db.sql<{ id: string }[]>`
    select kairan.publish('user-8', '{}', follow_up_after => '1 hour') as id`
  const id = String(sent?.id)
  await eventually(() => other.events.some(event => event.id === id))
  await eventually(async () => {
    const rows = await db.sql`
      select from kairan.deliveries where notification_id = ${id} and status = 'delivered'`
    return rows.length > 0
  })
  const { notifications } = await pageOf(service.url, '8')
  expect(notifications.some(item => item.id === id)).toBe(true)
  await pageOf(service.url, '7')
  await using own = await open(service.url, { token: await tokenFor('7') })
  await own.control('ready')
  const answers = await Promise.all(
    pages(id).map(async path => `${path} ${(await ask(service.url, path)).status}`),
  )
  expect(answers.filter(answer => !answer.endsWith(' 200'))).toEqual([])
  const troubles = services.flatMap(({ logs }) => logs).filter(({ level }) => level !== 'info')
  expect({ what, troubles }).toEqual({ what, troubles: [] })
}

for (const [table, { row, writer, verb }] of Object.entries(tables)) {
  test(`whatever is written into kairan.${table}, the service goes on for everybody else`, async () => {
    await using db = await database()
    await makeAdmin(db)
    await using service = await serve(db)
    await using second = await serve(db)
    // The one that numbers sends it what it has numbered.
    await using watching = await openReady(service.url, { token: await tokenFor('7') })
    await using following = await openReady(second.url, { token: await tokenFor('7') })
    await using named = await login(db, ...(writer === 'owner' ? [] : [writer]))
    const { sql } = writer === 'owner' ? db : named
    const columns = await db.sql<{ name: string; type: string }[]>`
      select a.attname as name, format_type(a.atttypid, a.atttypmod) as type from pg_attribute a
      where a.attrelid = ${`kairan.${table}`}::text::regclass and a.attnum > 0 and not a.attisdropped
        and a.attidentity = '' and a.attgenerated = ''
        and (${writer === 'owner'} or has_column_privilege(${named.name}, a.attrelid, a.attnum, ${verb}))
      order by a.attnum`
    expect(columns.length).toBeGreaterThan(1)
    let all = 0
    const followUp = async () => {
      await db.sql`delete from kairan.follow_ups`
      await db.sql`
        insert into kairan.follow_ups (notification_id, user_id, channel, payload, published_at, due_at)
        values (gen_random_uuid(), '7', 'user-7', '{}', now(), now())`
    }
    for (const { name, type } of columns) {
      const tried = values[type]
      if (!tried) throw new Error(`There is a value of no ${type} here`)
      let stored = 0
      for (const value of tried) {
        if (verb === 'update') await followUp()
        const written = { ...row, [name]: value }
        const statement =
          verb === 'update'
            ? `update kairan.${table} set ${name} = ${value}`
            : `insert into kairan.${table} (${Object.keys(written)}) values (${Object.values(written)})`
        stored += await sql.unsafe(statement).then(
          () => 1,
          () => 0,
        )
        if (verb === 'update') for (const round of rounds(db.sql)) await round
      }
      if (stored > 0) await goesOn(db, [service, second], `${table}.${name}`)
      all += stored
      if (keeps.includes(table)) continue
      await db.sql.unsafe(
        `delete from kairan.${table} ${table === 'roles' ? `where user_id <> 'boss'` : ''}`,
      )
    }
    expect(all).toBeGreaterThan(5)

    const [last] = await db.sql<{ id: string }[]>`
      select kairan.publish('user-7', '{}', 'orders.shipped') as id`
    const streams = [watching, following]
    const idsOf = ({ events }: (typeof streams)[number]) => events.map(({ id }) => id)
    await eventually(() => streams.every(stream => idsOf(stream).includes(last?.id ?? '')))
    // What is muted is known a moment earlier on one of them.
    if (table !== 'mutes') expect(idsOf(following)).toEqual(idsOf(watching))
    expect(streams.some(({ ended }) => ended)).toBe(false)
  })
}

/** What a signed-in user can have the service store, as method, path and JSON. */
const requests = (epoch: string, id: string, streamId: string): [string, string, string][] => {
  const cursors = [0, 1, '00', '9007199254740991', '99999999999999999'].map(
    seq => `${epoch}-${seq}`,
  )
  const odd = [
    '',
    '%',
    '\\\\',
    '*',
    '**',
    'a*',
    '\\u0000',
    '\\ud800',
    '🎉'.repeat(199),
    '__proto__',
  ]
  const marks = cursors.flatMap((cursor): [string, string, string][] => [
    ['POST', '/read', `{"upTo": "${cursor}"}`],
    ['POST', '/seen', `{"upTo": "${cursor}"}`],
    ['POST', '/read?channels=org-1', `{"upTo": "${cursor}"}`],
    ['GET', `?before=${cursor}`, ''],
    ['GET', `/stream?last_event_id=${cursor}`, ''],
  ])
  const ids = [id, id.toUpperCase(), `{${id}}`, id.replaceAll('-', '')].flatMap(
    (each): [string, string, string][] => [
      ['POST', '/read', `{"ids": ["${each}"], "read": false}`],
      ['POST', '/archive', `{"ids": ["${each}", "${each}"]}`],
      ['POST', '/archive', `{"ids": ["${each}"], "archived": false}`],
      ['POST', '/receipts', `{"ids": ["${each}"]}`],
    ],
  )
  const names = odd.flatMap((name): [string, string, string][] => [
    ['PUT', '/preferences', `{"mute": [{"type": "${name}"}]}`],
    [
      'PUT',
      '/preferences',
      `{"mute": [{"channel": "${name}", "until": "9999-12-31T23:59:59.999Z"}]}`,
    ],
    ['POST', '/tickets', `{"channels": ["org-${name}"]}`],
    ['POST', `/stream/${streamId}/channels`, `{"add": ["org-${name}"]}`],
    ['POST', `/stream/${streamId}/channels`, `{"remove": ["org-${name}"]}`],
    ['GET', `?type=${encodeURIComponent(name)}`, ''],
  ])
  return [...marks, ...ids, ...names, ['PUT', '/preferences', '{"mute": []}']]
}

test('whatever a user has the service store, it goes on for everybody else', async () => {
  await using db = await database()
  await makeAdmin(db)
  await using service = await serve(db)
  await using second = await serve(db)
  const [sent] = await db.sql<{ id: string }[]>`
    select kairan.publish('{user-7,org-1}'::text[], '{}') as id`
  // By its beginning, the token lets its user read whatever is a name.
  const token = await tokenWith({ sub: '7', 'kairan:subscribe': ['org-*'] })
  await using own = await openReady(service.url, { token })
  const ready = await own.control('ready')
  const [epoch = ''] = String(ready.cursor).split('-')
  const statuses = new Map<number, number>()
  for (const { url } of [service, second]) {
    for (const [method, path, body] of requests(epoch, sent?.id ?? '', String(ready.streamId))) {
      const response = await fetch(`${url}/notifications${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body ? { body } : {}),
      })
      await response.body?.cancel()
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
    }
    await goesOn(db, [service, second], url)
  }
  // Most is taken; what is not is refused.
  expect(statuses.get(200)).toBeGreaterThan(100)
  expect([...statuses.keys()].filter(status => status >= 500)).toEqual([])
})

test('names that mean something elsewhere are names like any other', async () => {
  await using db = await database()
  await makeAdmin(db)
  await using service = await serve(db)
  await using second = await serve(db)
  const odd = [
    '__proto__',
    'constructor',
    'toString',
    'null',
    '%',
    `'`,
    '\\',
    '{a}',
    '"',
    '*',
    '🎉',
  ]
  for (const name of odd) {
    const token = await tokenFor(name)
    // Everybody reads the channels that * is a member of.
    await db.sql`
      insert into kairan.members (channel, user_id)
      select c, ${name} from unnest(${odd.filter(channel => channel !== '*')}::text[]) c`
    await db.sql`insert into kairan.roles values (${name}, 5)`
    await using here = await openReady(service.url, { token })
    await using there = await openReady(second.url, { token })
    await db.sql`select kairan.publish(array['user-' || ${name}::text, '__proto__'], '{}', 'toString')`
    await db.sql`select kairan.publish('constructor', '{}', '__proto__')`
    for (const stream of [here, there]) {
      const events = await stream.atLeast(3)
      expect(events.map(event => [event.channel, event.type])).toEqual([
        [`user-${name}`, 'toString'],
        ['__proto__', 'toString'],
        ['constructor', '__proto__'],
      ])
    }
    // It returns, so that what has arrived is written down.
    const lastEventId = here.lastEventId ?? ''
    here.close()
    await using again = await openReady(second.url, { token, lastEventId })
    expect(again.controls[0]).toMatchObject({ type: 'ready', resumed: true })
    const { notifications } = await pageOf(service.url, name)
    expect(notifications.slice(0, 2).map(({ type }) => type)).toEqual(['__proto__', 'toString'])
  }
  const received = async () => {
    const rows = await db.sql`select distinct user_id from kairan.receipts`
    return rows.length
  }
  await eventually(async () => (await received()) === odd.length)
  await goesOn(db, [service, second], 'names')
})
