/** The SQL on the pages, run as it stands, each block by the role that docs/roles.md has for it. */
import { expect, test } from 'bun:test'
import postgres from 'postgres'
import { database } from '../support/database.ts'
import { type Block, pageBlocks } from '../support/page-blocks.ts'

/** What the pages take for given: tables of an application, and logins of its programs. */
const application = `
  create table users (id text primary key);
  create table orders (
    id int primary key generated always as identity,
    user_id text not null, item text, status text not null default 'placed'
  );
  create table team_members (team_id int, user_id text);
  insert into team_members values (7, '42');
  insert into orders (user_id) values ('1');
  alter table orders owner to kairan_publisher;
  grant select on users to kairan_reader;`

const logins = `
  do $$ declare name text; begin
    foreach name in array array['shop_app', 'kairan_login', 'accounts', 'app'] loop
      if to_regrole(name) is null then execute format('create role %I', name); end if;
    end loop;
  end $$;`

/** Who runs a block: by what it does first. */
const roles: [does: RegExp, role: string][] = [
  [/kairan\.(take_follow_ups|follow_ups)/, 'kairan_follower'],
  [/from kairan\.(deliveries|confirmations|presence)|from users/, 'kairan_reader'],
  [/create role|grant |kairan\.(members|roles|disconnect|reauthorize)/, ''],
  [
    /kairan\.(publish|withdraw)|insert into (kairan\.notifications|orders)|pg_notify|set_config/,
    'kairan_publisher',
  ],
]

const roleOf = ({ at, text }: Block) => {
  const found = roles.find(([does]) => does.test(text))
  if (!found) throw new Error(`${at}: say in this test which role runs it`)
  return found[1]
}

test('each block of SQL on the pages runs as it stands, by the role that it is meant for', async () => {
  await using db = await database()
  const [{ id } = {}] = await db.sql`select kairan.publish('user-42', '{}') as id`
  const one = postgres(db.url, { max: 1, onnotice: () => undefined })
  await using _ = { [Symbol.asyncDispose]: () => one.end() }
  const blocks = await pageBlocks('sql')
  expect(blocks.length).toBeGreaterThan(20)
  for (const block of blocks) {
    const role = roleOf(block)
    // An id is shortened on a page.
    const text = block.text
      .replaceAll(/'[0-9a-f-]*…'/g, `'${id}'`)
      .replaceAll('database shop', `database ${new URL(db.url).pathname.slice(1)}`)
      // The server may have a role of this name.
      .replaceAll(
        /kairan_(admin|login)\b/g,
        block.text.includes('create role') ? '$&_of_tests' : '$&',
      )
    const run = one.unsafe(`
      begin;
      ${application}
      ${logins}
      ${role && `set local role ${role};`}
      ${text};
      rollback`)
    const error = await run.then(() => null).catch(({ message }) => message)
    if (error !== null) await one.unsafe('rollback')
    expect({ at: block.at, role, error }).toEqual({ at: block.at, role, error: null })
  }
})

test('the CHANNELS_QUERY on the page, as a shell gives it on, finds the channels of a user', async () => {
  await using db = await database()
  const [block] = await pageBlocks('sh').then(all =>
    all.filter(({ text }) => /CHANNELS_Q/.test(text)),
  )
  const shell = Bun.spawn(['sh', '-c', `${block?.text}printf %s "$CHANNELS_QUERY"`])
  await db.sql.unsafe(application)
  const rows = await db.sql.unsafe(await new Response(shell.stdout).text(), ['42']).values()
  expect(rows.flat()).toEqual(['team-7'])
})
