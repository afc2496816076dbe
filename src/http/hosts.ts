/** Whether a host, as written in a URL, is this machine. */
export const isLoopback = (hostname: string) =>
  /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(hostname)

/**
 * Whether this is an origin as browsers send it: scheme and host, in lower case, and a port that is not
 * the scheme's own. Apps have schemes of their own, as in capacitor://localhost.
 */
export const isOrigin = (text: string) =>
  /^https?:/i.test(text)
    ? URL.parse(text)?.origin === text && !text.includes('*')
    : /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*]+$/.test(text)

/** Whether this is a host name without scheme and port. */
export const isHostName = (text: string) => hostOf(text) === text.toLowerCase()

/** Whether this is a Host header as a client has to send it. */
export const isHost = (host: string) => hostOf(host) !== null

/** The name in a Host header; null when the header is malformed. */
const hostOf = (host: string) =>
  /^([\w.-]+|\[[\da-f:.]+\])(:\d*)?$/i.test(host)
    ? (URL.parse(`http://${host}`)?.hostname ?? null)
    : null

/**
 * Whether a request is meant for this service. A site can let its name resolve to this machine (DNS rebinding). The
 * browser then takes the service for a part of that site, and only the Host header shows the difference. Loopback
 * names are always accepted, other names when they are listed. Without a list all names are accepted, unless the
 * service listens on loopback only: no other name leads there.
 */
export const createHostCheck = (listen: string, allowed: readonly string[]) => {
  const listed = new Set(allowed.map(name => name.toLowerCase()))
  const isOpen = listed.size === 0 && !isLoopback(listen)
  const isOurs = (host: string) => {
    const name = hostOf(host)
    return name !== null && (isOpen || isLoopback(name) || listed.has(name))
  }
  // Most requests come with the same header.
  let last = ''
  return (host: string) => {
    if (host === last && last !== '') return true
    if (!isOurs(host)) return false
    last = host
    return true
  }
}
