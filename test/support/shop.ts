import { join } from 'node:path'
import { open as openStream } from './client.ts'
import { database } from './database.ts'
import { login } from './logins.ts'
import { serve, tokenFor } from './service.ts'

const tables = await Bun.file(join(import.meta.dir, '../../docs/recipes/shop.sql')).text()

/**
 * A service on the database of a shop, with orders and the stock of each item. It is stopped at the end of the scope.
 */
export const shop = async () => {
  await using stack = new AsyncDisposableStack()
  const db = stack.use(await database())
  // The tables of a role called kairan would be created in the schema with its name.
  await db.sql.unsafe(
    `alter database ${new URL(db.url).pathname.slice(1)} set search_path = public`,
  )
  // Also for the connection that is open already.
  await db.sql.unsafe(`
    set search_path = public;
    ${tables}
    insert into stock values ('tea', 1000), ('lamp', 0)`)
  const service = stack.use(await serve(db, { ROLE_LEVEL_QUERY: roleLevelQuery }))
  const publisher = stack.use(await login(db, 'kairan_publisher'))
  await db.sql.unsafe(`grant select, insert, update on orders, stock to ${publisher.name}`)
  const kept = stack.move()
  return {
    url: db.url,
    sql: db.sql,
    /** As the shop's own login, which may write its tables and, for the rest, is a `kairan_publisher`. */
    publisherUrl: publisher.url,
    /** Opens a stream of a user; "admin" is a user too. */
    async stream(userId: string) {
      const stream = await openStream(service.url, { token: await tokenFor(userId) })
      await stream.control('ready')
      return stream
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

export type Shop = Awaited<ReturnType<typeof shop>>

const roleLevelQuery = `select 100 where $1 = 'admin'`
