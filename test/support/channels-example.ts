import { createApp } from '../../examples/channels/app.ts'
import { database } from './database.ts'
import { secret, serve } from './service.ts'

/** The application of examples/channels on its own database, with a Kairan. It is stopped at the end of the scope. */
export const openChannelsExample = async () => {
  await using stack = new AsyncDisposableStack()
  const db = stack.use(await database())
  const name = new URL(db.url).pathname.slice(1)
  await db.sql.unsafe(`alter database ${name} set search_path = public; set search_path = public`)
  const kairan = stack.use(await serve(db))
  const app = await createApp({ databaseUrl: db.url, secret, kairan: kairan.url, stepMs: 150 })
  stack.defer(app.stop)
  const kept = stack.move()
  return {
    sql: db.sql,
    url: app.url,
    kairan,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}
