import { createClient } from './client.ts'
import { iterate } from './iterate.ts'
import type { AnyPayloads, Notifications, Options, Payloads } from './types.ts'

export type * from './types.ts'

/**
 * Connects to Kairan, and stays connected until `close()`. Every stored event arrives once and in order,
 * across cuts, restarts and page loads, or the client reports a `gap`. One of the tabs with the same `key` holds the
 * connection for all. A notification on several channels arrives once, on the first of them.
 */
export const createNotifications = <P extends Payloads<P> = AnyPayloads>(
  options: Options = {},
): Notifications<P> => createClient<P>(options, iterate)
