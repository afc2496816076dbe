/** The servers of one NATS, and how to sign in there. */
export type NatsAddress = {
  /** Servers of one cluster: whichever is reached will do. */
  servers: NatsServer[]
  user: string | undefined
  password: string | undefined
  /** What stands before the `@` without a colon. */
  token: string | undefined
  /** File of a user's JWT and key, as `nsc` writes it. */
  credentials: string | undefined
  /** Null unless the URL asks for TLS. */
  tls: NatsTls | null
}

export type NatsServer = { host: string; port: number }

/** File names. Without a root certificate the authorities of the system are trusted. */
export type NatsTls = {
  rootCertificate: string | undefined
  certificate: string | undefined
  key: string | undefined
}

/** Says what is wrong with a URL. The message names the part and contains no secret. */
export class NatsUrlError extends Error {
  override readonly name = 'NatsUrlError'
}

/**
 * Reads `nats://user:password@host:4222`, or `tls://…`, which requires TLS. Servers after the first one follow a
 * comma, with or without the scheme: `nats://u:p@a:4222,b:4222`. The files of TLS have the names that they have in the
 * URL of Postgres. Throws NatsUrlError.
 */
export const parseNatsUrl = (url: string): NatsAddress => {
  const [, scheme = '', list = '', query = ''] =
    /^(nats|tls):\/\/([^?#/]*)\/?(?:\?([^#]*))?$/i.exec(url.replace(/,(nats|tls):\/\//gi, ',')) ??
    []
  if (list === '') fail('it is not a URL like nats://user:password@host:4222.')
  const isTls = scheme.toLowerCase() === 'tls'
  if (schemesIn(url).some(other => other !== scheme.toLowerCase())) {
    fail('its servers have different schemes.')
  }
  const at = list.indexOf('@')
  const userinfo = at < 0 ? [] : list.slice(0, at).split(':')
  const hosts = list.slice(at + 1)
  if (hosts.includes('@')) fail('only its first server may have a user and a password.')
  if (userinfo.length > 2) fail('its user or password has a : in it: write %3A.')
  const [first, password] = userinfo.map(part => decode(part, 'user or password'))
  const given = new Map(query.split('&').filter(Boolean).map(toParameter))
  for (const name of given.keys()) {
    if (!parameters.has(name))
      fail(`it has ${name}, which is none of ${[...parameters].join(', ')}.`)
    if (name.startsWith('ssl') && !isTls) fail(`${name} needs a URL that begins with tls://.`)
  }
  if (given.has('sslcert') !== given.has('sslkey')) fail('sslcert and sslkey need each other.')
  if (given.has('credentials') && first) fail('it has both a user or token and credentials.')
  return {
    servers: hosts.split(',').map(toServer),
    user: password === undefined ? undefined : first,
    password,
    token: password === undefined ? first || undefined : undefined,
    credentials: given.get('credentials'),
    tls: isTls
      ? {
          rootCertificate: given.get('sslrootcert'),
          certificate: given.get('sslcert'),
          key: given.get('sslkey'),
        }
      : null,
  }
}

const parameters = new Set(['credentials', 'sslrootcert', 'sslcert', 'sslkey'])

const fail = (problem: string): never => {
  throw new NatsUrlError(problem)
}

const schemesIn = (url: string) =>
  [...url.matchAll(/(?:^|,)(\w+):\/\//g)].map(([, scheme = '']) => scheme.toLowerCase())

const toServer = (text: string): NatsServer => {
  const [, address, name, port = '4222'] =
    /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/i.exec(text) ?? []
  const host = address ?? name
  if (host === undefined) return fail('a server in it is not written as host:port.')
  if (Number(port) < 1 || Number(port) > 65_535) fail('a port in it is not one.')
  return { host, port: Number(port) }
}

const toParameter = (text: string): [name: string, value: string] => {
  const [name = '', value, ...more] = text.split('=')
  if (!value || more.length > 0) fail('a parameter in it is not written as name=value.')
  return [decode(name, 'query'), decode(value ?? '', 'query')]
}

const decode = (text: string, part: string) => {
  try {
    return decodeURIComponent(text)
  } catch {
    return fail(`its ${part} has a % that is not followed by two digits: write %25 for a %.`)
  }
}
