import { embed } from './embed.ts'
import type { Kairan, KairanOptions } from './types.ts'

export type { Cookies, Identified, Identify } from '../auth/identify.ts'
export { KairanError } from '../lib/errors.ts'
export type { Published } from '../publish/request.ts'
export type { Transaction } from '../publish/transaction.ts'
export type { PublishOptions } from './publish.ts'
export type { Kairan, KairanOptions, Logger } from './types.ts'

/**
 * Kairan for every program that speaks `Request` and `Response`, on Bun. It reads nothing from the environment, listens
 * nowhere, and connects to the database at `start`. There may be several in a process. Throws an error that names every
 * wrong option.
 */
export const createKairan = (options: KairanOptions): Kairan => {
  const { fetch, publish, publishIn, withdraw, withdrawIn, start, stop, reasons } = embed(options)
  return { fetch, publish, publishIn, withdraw, withdrawIn, start, stop, reasons }
}
