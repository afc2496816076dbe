import { createShop } from '../../examples/orders/shop.ts'
import { database } from './database.ts'
import { secret, serve } from './service.ts'

/** The shop of examples/orders on its own database, with a Kairan. It is stopped at the end of the scope. */
export const openExample = async () => {
  await using stack = new AsyncDisposableStack()
  const db = stack.use(await database())
  const name = new URL(db.url).pathname.slice(1)
  await db.sql.unsafe(`alter database ${name} set search_path = public; set search_path = public`)
  const env = { ROLE_LEVEL_QUERY: 'select role_level from public.users where id = $1' }
  const kairan = stack.use(await serve(db, env))
  const shop = await createShop({ databaseUrl: db.url, secret, kairan: kairan.url })
  stack.defer(shop.stop)
  const kept = stack.move()
  return {
    sql: db.sql,
    url: shop.url,
    databaseUrl: db.url,
    kairan,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}
