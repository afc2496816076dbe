import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { eventually } from './eventually.ts'
import { type Shop, shop } from './shop.ts'

/** What each recipe in docs/recipes does, in whatever language. */
export type Recipe = {
  placeOrder(userId: string, item: string): Promise<string | undefined>
  remind(userId: string, orderId: number): Promise<string | undefined>
  announce(text: string): Promise<string | undefined>
  /** A row with a `dedupe_key`, which a later one with the same is left out for. */
  announceOnce?: (text: string, key: string) => Promise<unknown>
  /** Uses `$1::text::jsonb`, which works with every client. It publishes {"orderId": 7} for user 6. */
  asText?: () => Promise<unknown>
  /** Likely mistakes by their names, and what the error has to say. */
  mistakes: Record<string, Mistake>
  close(): Promise<unknown> | undefined
}

export type Mistake = { make: () => Promise<unknown>; says: string; advises: string }

export const twice = {
  says: 'kairan: the payload was encoded as JSON twice: "{\\"orderId\\":',
  advises: 'Pass the object, not its JSON.stringify',
}

export const noArray = {
  says: 'kairan: unknown channel',
  advises: 'Several channels are a text[]: $1::text[]',
}

/** Tests a recipe as a kairan_publisher, with streams of a running service as the proof. */
export const testRecipe = (
  name: string,
  open: (url: string) => Promise<Recipe>,
  options: { skip?: boolean } = {},
) =>
  describe.skipIf(options.skip ?? false)(name, () => {
    let opened: { shop: Shop; recipe: Recipe } | undefined
    const get = () => {
      if (!opened) throw new Error('The shop is not open.')
      return opened
    }
    beforeAll(async () => {
      const opening = await shop()
      opened = { shop: opening, recipe: await open(opening.publisherUrl) }
    })
    afterAll(async () => {
      await opened?.recipe.close()
      await opened?.shop[Symbol.asyncDispose]()
    })

    test('an order and the news of it are one transaction, for its user and the admins', async () => {
      const { shop, recipe } = get()
      await using user = await shop.stream('1')
      await using admin = await shop.stream('admin')
      await using other = await shop.stream('2')
      const id = await recipe.placeOrder('1', 'tea')
      const [order] = await shop.sql`select id from orders where user_id = '1'`
      const event = {
        id,
        type: 'order.placed',
        payload: { orderId: order?.id, item: 'tea' },
      }
      expect(id).toMatch(/^[0-9a-f-]{36}$/)
      expect(await user.atLeast(1)).toMatchObject([{ ...event, channel: 'user-1' }])
      expect(await admin.atLeast(1)).toMatchObject([{ ...event, channel: 'admin-dashboard' }])
      expect(other.events).toEqual([])
      await eventually(async () => {
        const pending =
          await shop.sql`select from kairan.deliveries where notification_id = ${id ?? ''} and status <> 'delivered'`
        return pending.length === 0
      })
    })

    test('what is rolled back is nobody’s news', async () => {
      const { shop, recipe } = get()
      await using user = await shop.stream('3')
      await expect(recipe.placeOrder('3', 'lamp')).rejects.toThrow()
      expect(await shop.sql`select from orders where user_id = '3'`).toHaveLength(0)
      const id = await recipe.placeOrder('3', 'tea')
      expect(await user.atLeast(1)).toMatchObject([{ id, payload: { item: 'tea' } }])
      const rows =
        await shop.sql`select id from kairan.notifications where 'user-3' = any (channels)`
      expect([...rows]).toEqual([{ id }])
    })

    test('a dedupe key gives one id and one event', async () => {
      const { shop, recipe } = get()
      await using user = await shop.stream('4')
      const id = await recipe.remind('4', 7)
      expect(await recipe.remind('4', 7)).toBe(id)
      const next = await recipe.remind('4', 8)
      expect(await user.atLeast(2)).toMatchObject([
        { id, type: 'order.reminder', channel: 'user-4', payload: { orderId: 7 } },
        { id: next, payload: { orderId: 8 } },
      ])
    })

    test('a row whose key was used before is left out', async () => {
      const { shop, recipe } = get()
      if (!recipe.announceOnce) return
      await using user = await shop.stream('8')
      await recipe.announceOnce('first', 'announced')
      await recipe.announceOnce('second', 'announced')
      await recipe.announceOnce('third', 'announced later')
      expect((await user.atLeast(2)).map(({ payload }) => payload.text)).toEqual(['first', 'third'])
    })

    test('a text comes as it is', async () => {
      const { shop, recipe } = get()
      await using user = await shop.stream('5')
      for (const text of [`It's "here": \\ \\n {} $1 %s ?`, '回覧 🔔\n\ttwo lines', '']) {
        const { length } = user.events
        const id = await recipe.announce(text)
        expect((await user.atLeast(length + 1)).at(-1)).toMatchObject({
          id,
          channel: 'all-users',
          type: 'news',
          payload: { text },
        })
      }
    })

    test('text that is cast to text first is right', async () => {
      const { shop, recipe } = get()
      if (!recipe.asText) return
      await using user = await shop.stream('6')
      await recipe.asText()
      expect(await user.atLeast(1)).toMatchObject([{ payload: { orderId: 7 } }])
    })

    test('a user id may have quotes, braces and backslashes', async () => {
      const { shop, recipe } = get()
      const userId = `o'"\\{}é$1`
      await using user = await shop.stream(userId)
      const id = await recipe.placeOrder(userId, 'tea')
      expect(await user.atLeast(1)).toMatchObject([{ id, channel: `user-${userId}` }])
    })

    test('a mistake is said, and what to do about it', async () => {
      const { shop, recipe } = get()
      const before = await shop.sql`select from kairan.notifications`
      for (const [what, { make, says, advises }] of Object.entries(recipe.mistakes)) {
        const error = await make().then(
          () => `${what} was taken`,
          reason => said(reason),
        )
        expect(error).toContain(says)
        expect(error).toContain(advises)
      }
      expect(await shop.sql`select from kairan.notifications`).toHaveLength(before.length)
    })
  })

/** The properties of an error and of its causes. */
const said = (error: unknown): string => {
  if (typeof error !== 'object' || error === null) return String(error)
  const properties = Object.getOwnPropertyNames(error)
    .filter(name => name !== 'stack')
    .map(name => said(Reflect.get(error, name)))
  return properties.join('\n')
}
