import { asPlugin } from '../http/plugin.ts'
import { embed } from './embed.ts'
import type { KairanOptions, Publisher } from './types.ts'

export type { KairanOptions, Publisher } from './types.ts'

/**
 * Kairan as a plugin of an Elysia application: `new Elysia().use(kairan({ databaseUrl, identify }))`. It starts when the
 * application listens, and ends its streams when the application stops. Throws an error that names every wrong option.
 */
export const kairan = (options: KairanOptions) => {
  const embedded = embed(options)
  const { publish, publishIn } = embedded
  const publisher: Publisher = { publish, publishIn }
  return asPlugin(embedded, publisher)
}
