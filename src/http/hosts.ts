/** Whether a host, as in a URL, is this machine itself. */
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

/** Whether this is the name of a host, without a scheme and a port. */
export const isHostName = (text: string) => hostOf(text) === text.toLowerCase()

/** The name in a Host header; null when it is not written like one. */
const hostOf = (host: string) =>
  /^([\w.-]+|\[[\da-f:.]+\])(:\d*)?$/i.test(host)
    ? (URL.parse(`http://${host}`)?.hostname ?? null)
    : null

/**
 * Whether a request was meant for this service. A page of another site can have its name resolve to
 * this machine (DNS rebinding), and is then of the same origin for the browser: only Host tells.
 * Loopback names are always right. Any other has to be listed; without a list all are, unless the
 * service listens on loopback only, where nobody else's name can lead.
 */
export const createHostCheck = (listen: string, allowed: readonly string[]) => {
  const listed = new Set(allowed.map(name => name.toLowerCase()))
  const isOpen = listed.size === 0 && !isLoopback(listen)
  return (host: string) => {
    const name = hostOf(host)
    return name !== null && (isOpen || isLoopback(name) || listed.has(name))
  }
}
