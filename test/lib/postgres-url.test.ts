import { expect, test } from 'bun:test'
import { readConfig, showConfig } from '../../src/config.ts'
import { parsePostgresUrl } from '../../src/lib/postgres-url.ts'

type Parts = {
  places: string[]
  user: string | undefined
  password: string | undefined
  database: string | undefined
  mode: string
  session: Record<string, string>
}

/** The servers as text, and the parts that are given. What libpq 15 made of each URL was the model. */
const read = (url: string): Parts => {
  const { servers, user, password, database, tls, session } = parsePostgresUrl(url)
  const places = servers.map(server =>
    'socket' in server ? server.socket : `${server.host} ${server.connectTo} ${server.port}`,
  )
  return { places, user, password, database, mode: tls.mode, session }
}

const nothing = {
  user: undefined,
  password: undefined,
  database: 'd',
  mode: 'disable',
  session: {},
}

const understood: Record<string, Partial<Parts>> = {
  'postgres://u:p@h:1/d': { places: ['h h 1'], user: 'u', password: 'p' },
  'postgresql:///d': { places: ['localhost localhost 5432'] },
  'postgres://u@/d': { places: ['localhost localhost 5432'], user: 'u' },
  'postgres://u:50%25off@h/d': { places: ['h h 5432'], user: 'u', password: '50%off' },
  'postgres://u:a#b:c@h/d': { places: ['h h 5432'], user: 'u', password: 'a#b:c' },
  'postgres://[::1]:5/d': { places: ['::1 ::1 5'] },
  'postgres://[2001:db8::1],h:3/d': { places: ['2001:db8::1 2001:db8::1 5432', 'h h 3'] },
  'postgres://a:1,b:2,c/d': { places: ['a a 1', 'b b 2', 'c c 5432'] },
  'postgres://a,b/d?port=5': { places: ['a a 5', 'b b 5'] },
  'postgres:///d?host=a,b&port=1,2': { places: ['a a 1', 'b b 2'] },
  'postgres:///d?host=/run/postgresql': { places: ['/run/postgresql/.s.PGSQL.5432'] },
  'postgres://%2Frun%2Fpg:7/d': { places: ['/run/pg/.s.PGSQL.7'] },
  'postgres://h/d?hostaddr=127.0.0.1': { places: ['h 127.0.0.1 5432'] },
  'postgres://h/d%20e': { places: ['h h 5432'], database: 'd e' },
  'postgres://h/?dbname=d&user=u&password=p%26q': {
    ...{ places: ['h h 5432'], user: 'u', password: 'p&q' },
  },
  'postgres://h/d?options=-c%20search_path%3Dx': {
    ...{ places: ['h h 5432'], session: { options: '-c search_path=x' } },
  },
  'postgres://h/d?sslmode=require&channel_binding=prefer&target_session_attrs=read-write': {
    ...{ places: ['h h 5432'], mode: 'require' },
  },
  'postgres://h/d?ssl=true': { places: ['h h 5432'], mode: 'require' },
  'postgres://h/d?requiressl=1': { places: ['h h 5432'], mode: 'require' },
  'postgres://h/d?sslrootcert=system': { places: ['h h 5432'], mode: 'verify-full' },
  'postgres://h/d?sslrootcert=/etc/hosts': { places: ['h h 5432'], mode: 'prefer' },
  'postgres://h/d?keepalives_count=3&tcp_user_timeout=5&gssencmode=disable&connect_timeout=3': {
    places: ['h h 5432'],
  },
}

for (const [url, parts] of Object.entries(understood)) {
  test(`understands ${url}`, () => {
    expect(read(url)).toEqual({ ...nothing, places: [], ...parts })
  })
}

/** With what the message names, and what it must not repeat. */
const refused: [string, RegExp][] = [
  ['http://h/d', /not a URL like/],
  ['postgres://u:50%off@h/d', /password has a %/],
  ['postgres://u:geheim%@h/d', /password has a %/],
  ['postgres://u:geheim%00@h/d', /password has a %/],
  ['postgres://u:%ff@h/d', /password is not UTF-8/],
  ['postgres://u:geheim/w@h/d', /port/],
  ['postgres://u:gehe@im:geheim@h/d', /port/],
  ['postgres://u:x?geheim@h/d', /parameter/],
  ['postgres://[::1/d', /port|host/],
  ['postgres://h:0/d', /port/],
  ['postgres://h/d?geheim', /parameter/],
  ['postgres:///d?host=a,b&port=1,2,3', /as many ports/],
  ['postgres://h/d?hostaddr=1.2.3.4,1.2.3.5', /as many host/],
  ['postgres://h/d?sslmode=strict', /sslmode/],
  ['postgres://h/d?sslmode=require&sslrootcert=system', /sslrootcert/],
  ['postgres://h/d?sslnegotiation=direct', /sslnegotiation/],
  ['postgres://h/d?connect_timeout=soon', /connect_timeout/],
  ['postgres://h/d?load_balance_hosts=no', /load_balance_hosts/],
  ...[
    ...['channel_binding=require', 'require_auth=scram-sha-256', 'target_session_attrs=standby'],
    ...['passfile=/p', 'service=s', 'servicefile=/s', 'sslcrl=/c', 'sslcrldir=/c', 'requirepeer=p'],
    ...['gssencmode=require', 'client_encoding=LATIN1', 'replication=database'],
    ...['sslcertmode=require', 'min_protocol_version=3.2', 'scram_client_key=a', 'oauth_issuer=i'],
  ].map((parameter): [string, RegExp] => [
    `postgres://h/d?${parameter}`,
    new RegExp(`it has ${parameter.split('=')[0]},`),
  ]),
]

for (const [url, message] of refused) {
  test(`refuses ${url} in words that repeat no secret`, () => {
    expect(() => parsePostgresUrl(url)).toThrow(message)
    expect(() => parsePostgresUrl(url)).not.toThrow(/gehe.?im(?! )/)
  })
}

test('a URL that can not be used is a wrong setting, and so is a file in it that is not there', () => {
  const env = { JWT_SECRET: 'q7Jw0u4mXb1Zr8Tn5Kc2Vd9Lf6Hg3Ay-' }
  const read = (DATABASE_URL: string) => () => readConfig({ ...env, DATABASE_URL })
  expect(read('postgres://h/d?channel_binding=require')).toThrow(/DATABASE_URL .*channel_binding/)
  expect(read('postgres://h/d?sslrootcert=/not/there')).toThrow(/DATABASE_URL .*\/not\/there/)
})

test('shows no password of such a URL', () => {
  for (const DATABASE_URL of [
    'postgres://u:1#geheim@a:1,b:2/d',
    'postgres://u:geheim@[::1]/d?host=a,b',
    'postgres://a,b/d?user=u&password=geheim&sslpassword=geheim',
  ]) {
    const env = { JWT_SECRET: 'q7Jw0u4mXb1Zr8Tn5Kc2Vd9Lf6Hg3Ay-', DATABASE_URL }
    expect(showConfig(readConfig(env)).DATABASE_URL).not.toContain('geheim')
  }
})
