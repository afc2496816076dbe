import { Pool } from 'pg'

/** Without a listener, an unused connection that Postgres ends would end the process. */
export const connect = (url: string) =>
  new Pool({ connectionString: url }).on('error', error => console.warn(error.message))

/** An order, what is left of the item, and who should hear of it: all of it, or nothing. */
export const placeOrder = async (pool: Pool, userId: string, item: string) => {
  // A transaction is bound to one connection: pool.query could take another for each statement.
  const client = await pool.connect()
  try {
    await client.query('begin')
    const order = await client.query<{ id: number }>(
      'insert into orders (user_id, item) values ($1, $2) returning id',
      [userId, item],
    )
    const published = await client.query<{ id: string }>(
      `select kairan.publish($1::text[], $2, type => 'order.placed') as id`,
      [[`user-${userId}`, 'admin-dashboard'], { orderId: order.rows[0]?.id, item }],
    )
    // When none is left this fails, and nobody hears of an order that there is not.
    await client.query('update stock set count = count - 1 where item = $1', [item])
    await client.query('commit')
    return published.rows[0]?.id
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

/** May run as often as it likes: with the same key it is published once, and has one id. */
export const remind = async (pool: Pool, userId: string, orderId: number) => {
  const published = await pool.query<{ id: string }>(
    `select kairan.publish($1, $2, type => 'order.reminder', dedupe_key => $3) as id`,
    [`user-${userId}`, { orderId }, `order-${orderId}-reminder`],
  )
  return published.rows[0]?.id
}

/** The same as a row. */
export const announce = async (pool: Pool, text: string) => {
  const notification = await pool.query<{ id: string }>(
    `insert into kairan.notifications (channels, payload, type) values ($1, $2, 'news') returning id`,
    [['all-users'], { text }],
  )
  return notification.rows[0]?.id
}
