import { messageOf } from '../lib/errors.ts'

/**
 * The command `kairan healthcheck`: whether the service there is ready, and what it answered. It is for the health
 * check of a container, whose image has neither a shell nor curl.
 */
export const checkHealth = async ({
  host,
  port,
}: {
  host: string
  port: number
}): Promise<{ isReady: boolean; answer: string }> => {
  const url = `http://${reachable(host)}:${port}/readyz`
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
    return { isReady: response.ok, answer: await response.text() }
  } catch (error) {
    return { isReady: false, answer: `${url} does not answer: ${messageOf(error)}` }
  }
}

/** The host of a URL that leads to who listens there: all addresses of this machine are reached by its own. */
const reachable = (host: string) => {
  const address = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return address.includes(':') ? `[${address}]` : address
}
