import { asPlugin, type WithRoutes } from '../http/plugin.ts'
import type { KairanRoutes } from './eden.ts'
import { embed } from './embed.ts'
import type { KairanOptions, Publisher } from './types.ts'

export type { KairanRoutes, Problem } from './eden.ts'
export type { KairanOptions, Publisher } from './types.ts'

/** The plugin: `kairan` in the context, and the routes below the prefix. */
export type KairanPlugin<Prefix extends string> = WithRoutes<
  ReturnType<typeof asPlugin<Publisher>>,
  Prefix,
  KairanRoutes
>

/**
 * Kairan as a plugin of an Elysia application: `new Elysia().use(kairan({ databaseUrl, identify }))`. It starts when
 * the application listens, or when it is first used, and ends its streams when the application stops. Throws an error
 * that names every wrong option.
 */
export const kairan = <const Prefix extends string = ''>(
  options: KairanOptions & { prefix?: Prefix | undefined },
): KairanPlugin<Prefix> => {
  const embedded = embed(options, { startsWhenUsed: true })
  const { publish, publishIn, withdraw, withdrawIn } = embedded
  const publisher: Publisher = { publish, publishIn, withdraw, withdrawIn }
  // It differs only in the types of the routes.
  return asPlugin(embedded, publisher) as unknown as KairanPlugin<Prefix>
}
