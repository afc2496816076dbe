/** Stands for a secret. It has a fixed length, so that it tells nothing about the secret. */
export const dots = '••••••••'

const shortDots = '••••'

/** A URL of http or https without its user, its password and its query: each may be a key. */
export const hideUrlSecrets = (url: string) =>
  url.replace(/^([a-z]+:\/\/)[^/?#]*@/i, `$1${shortDots}@`).replace(/([?#]).*$/s, `$1${shortDots}`)

/** A URL of NATS without its password, or without its token, which is all that stands before the `@`. */
export const hideNatsSecrets = (url: string) =>
  url
    .replace(/^(\w+:\/\/)(.*)@/s, (_, scheme: string, userinfo: string) => {
      const [user, ...password] = userinfo.split(':')
      return `${scheme}${password.length > 0 ? `${user}:` : ''}${shortDots}@`
    })
    .replace(/([?&])([^=&]*)=([^&]*)/g, (field, separator, name) =>
      harmlessToNats.has(name) ? field : `${separator}${name}=${shortDots}`,
    )

const harmlessToNats = new Set(['credentials', 'sslrootcert', 'sslcert', 'sslkey'])

/** The origin of a URL of http or https: all else may be a key. */
export const hideUrlPath = (url: string) =>
  hideUrlSecrets(url).replace(/^([a-z]+:\/\/[^/?#]*)\/.+$/is, `$1/${shortDots}`)

/**
 * A URL of Postgres without its password, and without the values of the parameters that are not known to be
 * harmless. Not by URL: it may have several hosts, and a # in its password.
 */
export const hidePostgresSecrets = (url: string) =>
  url
    .replace(/^(\w+:\/\/[^/?:@]*):[^/?]*@/, `$1:${shortDots}@`)
    .replace(/([?&])([^=&]*)=([^&]*)/g, (field, separator, name) =>
      harmless.has(name) ? field : `${separator}${name}=${shortDots}`,
    )

const harmless = new Set([
  ...['user', 'host', 'hostaddr', 'port', 'dbname', 'application_name', 'connect_timeout'],
  ...['ssl', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'sslnegotiation', 'sslsni'],
  ...['ssl_min_protocol_version', 'ssl_max_protocol_version', 'channel_binding', 'gssencmode'],
  ...['target_session_attrs', 'load_balance_hosts', 'keepalives', 'keepalives_idle'],
])
