/** Finds the address that a request comes from; null when it is unknown. */
export type AddressOf = (request: Request, server: Bun.Server<unknown> | null) => string | null

/**
 * The address of the peer. Behind `trustedProxies` proxies it is the entry that the outermost of them added to
 * X-Forwarded-For; a client can forge the entries to the left of it. An IPv6 address is reduced to its /64, which
 * a provider gives to one customer.
 */
export const createAddressOf =
  (trustedProxies: number): AddressOf =>
  (request, server) => {
    const forwarded = trustedProxies > 0 ? request.headers.get('x-forwarded-for') : null
    const hop = forwarded?.split(',').at(-trustedProxies)?.trim()
    const address = hop || server?.requestIP(request)?.address
    return address ? networkOf(address.slice(0, 100)) : null
  }

const networkOf = (address: string) => {
  const v4 = /(?:^|:)(\d{1,3}(?:\.\d{1,3}){3})(?::\d+)?$/.exec(address)?.[1]
  if (v4 !== undefined) return v4
  // `::` stands for the groups of zeros that are missing.
  const [head = '', tail] = address.replace(/^\[|\](:\d+)?$|%.*$/g, '').split('::')
  const groups = head.split(':').filter(Boolean)
  const rest = tail?.split(':').filter(Boolean) ?? []
  const zeros =
    tail === undefined ? [] : Array(Math.max(0, 8 - groups.length - rest.length)).fill('0')
  const network = [...groups, ...zeros, ...rest]
    .slice(0, 4)
    .map(group => Number.parseInt(group, 16))
  return network.length === 4 && network.every(Number.isFinite)
    ? `${network.map(group => group.toString(16)).join(':')}::/64`
    : address
}
