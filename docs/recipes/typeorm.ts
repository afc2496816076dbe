import { DataSource, EntitySchema } from 'typeorm'

/** The columns that you write. `id` is Kairan's default. */
export const Notification = new EntitySchema<{
  id: string
  channels: string[]
  payload: object
  type: string | null
  dedupeKey: string | null
}>({
  name: 'Notification',
  schema: 'kairan',
  tableName: 'notifications',
  // The table is Kairan's: without this `synchronize` would drop its indexes and columns.
  synchronize: false,
  columns: {
    id: { type: 'uuid', primary: true, generated: 'uuid' },
    channels: { type: 'text', array: true },
    payload: { type: 'jsonb' },
    type: { type: 'text', nullable: true },
    dedupeKey: { name: 'dedupe_key', type: 'text', nullable: true },
  },
})

export const connect = (url: string) =>
  new DataSource({ type: 'postgres', url, entities: [Notification] }).initialize()

type Published = { id: string }[]

/** An order, what is left of the item, and who should hear of it: all of it, or nothing. */
export const placeOrder = (source: DataSource, userId: string, item: string) =>
  source.transaction(async manager => {
    const [order]: { id: number }[] = await manager.query(
      'insert into orders (user_id, item) values ($1, $2) returning id',
      [userId, item],
    )
    const [published]: Published = await manager.query(
      `select kairan.publish($1::text[], $2::jsonb, type => 'order.placed') as id`,
      [[`user-${userId}`, 'admin-dashboard'], { orderId: order?.id, item }],
    )
    // When none is left this fails, and nobody hears of an order that there is not.
    await manager.query('update stock set count = count - 1 where item = $1', [item])
    return published?.id
  })

/** May run as often as it likes: with the same key it is published once, and has one id. */
export const remind = async (source: DataSource, userId: string, orderId: number) => {
  const [published]: Published = await source.query(
    `select kairan.publish($1, $2::jsonb, type => 'order.reminder', dedupe_key => $3) as id`,
    [`user-${userId}`, { orderId }, `order-${orderId}-reminder`],
  )
  return published?.id
}

/** The same as a row. */
export const announce = async (source: DataSource, text: string) => {
  const notification = { channels: ['all-users'], payload: { text }, type: 'news' }
  const { identifiers } = await source.getRepository(Notification).insert(notification)
  return String(identifiers[0]?.id)
}

/** A row that is left out if its key was used before. It has no id to return then. */
export const announceOnce = (source: DataSource, text: string, dedupeKey: string) =>
  source
    .createQueryBuilder()
    .insert()
    .into(Notification)
    .values({ channels: ['all-users'], payload: { text }, type: 'news', dedupeKey })
    .orIgnore()
    .execute()
