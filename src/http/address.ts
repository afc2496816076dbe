/** Finds where a request comes from; null when that can't be known. */
export type AddressOf = (request: Request, server: Bun.Server<unknown> | null) => string | null

/**
 * The address of who connected, or, behind `trustedProxies` proxies, what the outermost of them wrote into
 * X-Forwarded-For. What stands further left in it anybody can make up. Of an IPv6 address it is the first
 * half, which is what one customer of a provider has.
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
  // Written out: `::` stands for as many groups of zeros as are missing.
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
