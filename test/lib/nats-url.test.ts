import { expect, test } from 'bun:test'
import { NatsUrlError, parseNatsUrl } from '../../src/lib/nats-url.ts'

const nobody = { user: undefined, password: undefined, token: undefined, credentials: undefined }

test('reads servers, users, tokens and files', () => {
  expect(parseNatsUrl('nats://h')).toEqual({
    ...nobody,
    servers: [{ host: 'h', port: 4222 }],
    tls: null,
  })
  expect(parseNatsUrl('nats://u:p%40%3A%2Fw@a.test:1,[::1]:2,nats://10.0.0.1/')).toEqual({
    ...nobody,
    user: 'u',
    password: 'p@:/w',
    servers: [
      { host: 'a.test', port: 1 },
      { host: '::1', port: 2 },
      { host: '10.0.0.1', port: 4222 },
    ],
    tls: null,
  })
  expect(parseNatsUrl('nats://t0ken@h')).toMatchObject({ ...nobody, token: 't0ken' })
  expect(parseNatsUrl('TLS://h?credentials=/etc/k.creds&sslrootcert=%2Fca')).toMatchObject({
    ...nobody,
    credentials: '/etc/k.creds',
    tls: { rootCertificate: '/ca', certificate: undefined, key: undefined },
  })
})

test('says what is wrong, without what is secret', () => {
  const wrong: [url: string, problem: RegExp][] = [
    ['http://u:geheim@h', /not a URL like nats:/],
    ['nats://', /not a URL like nats:/],
    ['nats://u:geheim@h#x', /not a URL like nats:/],
    ['nats://u:gehe/im@h', /not a URL like nats:/],
    ['nats://a,tls://b', /different schemes/],
    ['nats://u:geheim@a,u:geheim@b', /only its first server/],
    ['nats://u:geheim:x@h', /write %3A/],
    ['nats://u:geheim%@h', /write %25/],
    ['nats://h:99999', /a port in it/],
    ['nats://h:port', /not written as host:port/],
    ['nats://a,,b', /not written as host:port/],
    ['nats://h?token=geheim', /it has token, which is none of/],
    ['nats://h?sslrootcert=/ca', /needs a URL that begins with tls/],
    ['tls://h?sslcert=/c', /need each other/],
    ['nats://u:geheim@h?credentials=/c', /both a user or token and credentials/],
    ['nats://h?credentials', /name=value/],
  ]
  for (const [url, problem] of wrong) {
    const parse = () => parseNatsUrl(url)
    expect(parse).toThrow(NatsUrlError)
    expect(parse).toThrow(problem)
    expect(parse).not.toThrow('geheim')
  }
})
