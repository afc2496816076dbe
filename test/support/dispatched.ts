import { eventually } from './eventually.ts'

/**
 * Waits until this instance has dispatched the log up to `head`. It knows a moment later than Postgres: until then a
 * stream that it opens begins before what is numbered already, and gets it live.
 */
export const dispatched = async ({ url }: { url: string }, head: number) => {
  await eventually(async () => {
    const metrics = await (await fetch(`${url}/metrics`)).text()
    return Number(/^kairan_log_head (\d+)/m.exec(metrics)?.[1]) >= head
  })
}
