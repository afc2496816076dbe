import { expect, test } from 'bun:test'
import { parseNatsUrl } from '../../src/lib/nats-url.ts'
import { parsePostgresUrl } from '../../src/lib/postgres-url.ts'

const page = await Bun.file('docs/settings.md').text()

/** A value for each parameter that the page names. */
const values: Record<string, string> = {
  sslmode: 'verify-full',
  sslrootcert: '/ca.pem',
  sslcert: '/client.pem',
  sslkey: '/client.key',
  sslpassword: 'secret',
  ssl_min_protocol_version: 'TLSv1.2',
  ssl_max_protocol_version: 'TLSv1.3',
  sslnegotiation: 'direct',
  sslsni: '0',
  host: 'db.example.com',
  hostaddr: '192.0.2.1',
  port: '6432',
  user: 'kairan',
  password: 'secret',
  dbname: 'shop',
  load_balance_hosts: 'random',
  connect_timeout: '7',
  keepalives: '0',
  keepalives_idle: '20',
  options: '-c statement_timeout=5s',
}

test('each parameter of the URL on the page is used, and none is left out', () => {
  const [, table = ''] = page.split('| parameter | |')
  const names = [...(table.split('\n\n')[0] ?? '').matchAll(/^\| ([^|]+) \|/gm)]
    .flatMap(([, cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name))
    .filter(name => name !== '')
  expect(names.toSorted()).toEqual(Object.keys(values).toSorted())
  const base = 'postgres://u:p@a:1/d?sslmode=require'
  const plain = JSON.stringify(parsePostgresUrl(base))
  for (const name of names) {
    const address = parsePostgresUrl(`${base}&${name}=${encodeURIComponent(values[name] ?? '')}`)
    expect({ name, changes: JSON.stringify(address) !== plain }).toEqual({ name, changes: true })
    // Else Postgres would get it as a setting, and refuse it.
    expect(Object.keys(address.session)).toEqual(name === 'options' ? ['options'] : [])
  }
})

test('the URL of the relay on the page is understood, and each of its parameters is used', () => {
  const [, url = ''] = /RELAY_URL=(tls:\S+)/.exec(page) ?? []
  expect(parseNatsUrl(url).tls?.rootCertificate).toBe('/etc/kairan/ca.pem')
  const [, table = ''] = page.split('| parameter of the relay | |')
  const names = [...(table.split('\n\n')[0] ?? '').matchAll(/`(\w+)`[,| ]/g)].map(
    ([, name]) => name,
  )
  expect(names.filter(name => name !== 'nsc')).toEqual([
    'credentials',
    'sslrootcert',
    'sslcert',
    'sslkey',
  ])
  const address = parseNatsUrl('tls://a?credentials=/c&sslrootcert=/r&sslcert=/s&sslkey=/k')
  expect(address).toMatchObject({
    credentials: '/c',
    tls: { rootCertificate: '/r', certificate: '/s', key: '/k' },
  })
})

test('the URL with TLS on the page is understood, and verifies', () => {
  const [, url = ''] = /DATABASE_URL=(postgres:\S+verify-full\S+)/.exec(page) ?? []
  const { tls } = parsePostgresUrl(url)
  expect(tls).toMatchObject({ mode: 'verify-full', rootCertificate: '/etc/kairan/ca.pem' })
})
