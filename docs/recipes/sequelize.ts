import {
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  QueryTypes,
  Sequelize,
  type Transaction,
} from 'sequelize'

export const connect = (url: string) => new Sequelize(url, { logging: false })

/** An order, what is left of the item, and who should hear of it: all of it, or nothing. */
export const placeOrder = (sequelize: Sequelize, userId: string, item: string) =>
  sequelize.transaction(async transaction => {
    const [order] = await sequelize.query<{ id: number }>(
      'insert into orders (user_id, item) values ($userId, $item) returning id',
      { bind: { userId, item }, type: QueryTypes.SELECT, transaction },
    )
    const id = await publish(sequelize, transaction, {
      channels: [`user-${userId}`, 'admin-dashboard'],
      payload: { orderId: order?.id, item },
      type: 'order.placed',
    })
    // When none is left this fails, and nobody hears of an order that there is not.
    await sequelize.query('update stock set count = count - 1 where item = $item', {
      ...{ bind: { item }, transaction },
    })
    return id
  })

const publish = async (
  sequelize: Sequelize,
  transaction: Transaction,
  notification: { channels: string[]; payload: object; type: string },
) => {
  const [published] = await sequelize.query<{ id: string }>(
    'select kairan.publish($channels::text[], $payload::jsonb, type => $type) as id',
    { bind: notification, type: QueryTypes.SELECT, transaction },
  )
  return published?.id
}

/** May run as often as it likes: with the same key it is published once, and has one id. */
export const remind = async (sequelize: Sequelize, userId: string, orderId: number) => {
  const [published] = await sequelize.query<{ id: string }>(
    `select kairan.publish($channel, $payload::jsonb, type => 'order.reminder', dedupe_key => $key) as id`,
    {
      bind: {
        channel: `user-${userId}`,
        payload: { orderId },
        key: `order-${orderId}-reminder`,
      },
      type: QueryTypes.SELECT,
    },
  )
  return published?.id
}

class Notification extends Model<
  InferAttributes<Notification>,
  InferCreationAttributes<Notification>
> {
  declare id?: string
  declare channels: string[]
  declare payload: object
  declare type: string | null
  declare dedupeKey?: string | null
}

/** The columns that you write. `id` is Kairan's default. */
export const defineNotifications = (sequelize: Sequelize) =>
  Notification.init(
    {
      id: { type: DataTypes.UUID, primaryKey: true, defaultValue: sequelize.literal('default') },
      channels: { type: DataTypes.ARRAY(DataTypes.TEXT), allowNull: false },
      payload: { type: DataTypes.JSONB, allowNull: false },
      type: DataTypes.TEXT,
      dedupeKey: { type: DataTypes.TEXT, field: 'dedupe_key' },
    },
    { sequelize, schema: 'kairan', tableName: 'notifications', timestamps: false },
  )

/** The same as a row. */
export const announce = async (notifications: typeof Notification, text: string) => {
  const notification = await notifications.create(
    { channels: ['all-users'], payload: { text }, type: 'news' },
    // By default Sequelize asks for all columns of the model, and a publisher may only read `id`.
    { returning: ['id'] },
  )
  return notification.id
}

/** A row that is left out if its key was used before. It has no id to return then. */
export const announceOnce = (notifications: typeof Notification, text: string, dedupeKey: string) =>
  notifications.bulkCreate(
    [{ channels: ['all-users'], payload: { text }, type: 'news', dedupeKey }],
    { ignoreDuplicates: true, returning: ['id'] },
  )
