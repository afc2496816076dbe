import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from './prisma/client/client.ts'

export const connect = (url: string) =>
  new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })

/** An order, what is left of the item, and who should hear of it: all of it, or nothing. */
export const placeOrder = (prisma: PrismaClient, userId: string, item: string) =>
  prisma.$transaction(async tx => {
    const order = await tx.order.create({ data: { userId, item } })
    const [published] = await tx.$queryRaw<{ id: string }[]>`
      select kairan.publish(
        ${[`user-${userId}`, 'admin-dashboard']}::text[],
        ${JSON.stringify({ orderId: order.id, item })}::jsonb,
        type => 'order.placed'
      ) as id`
    // When none is left this fails, and nobody hears of an order that there is not.
    await tx.stock.update({ where: { item }, data: { count: { decrement: 1 } } })
    return published?.id
  })

/** May run as often as it likes: with the same key it is published once, and has one id. */
export const remind = async (prisma: PrismaClient, userId: string, orderId: number) => {
  const [published] = await prisma.$queryRaw<{ id: string }[]>`
    select kairan.publish(
      ${`user-${userId}`}, ${JSON.stringify({ orderId })}::jsonb,
      type => 'order.reminder', dedupe_key => ${`order-${orderId}-reminder`}
    ) as id`
  return published?.id
}

/** The same as a row. $executeRaw would return the number of rows: $queryRaw returns the id. */
export const announce = async (prisma: PrismaClient, text: string) => {
  const [notification] = await prisma.$queryRaw<{ id: string }[]>`
    insert into kairan.notifications (channels, payload, type)
    values (${['all-users']}, ${JSON.stringify({ text })}::jsonb, 'news')
    returning id`
  return notification?.id
}
