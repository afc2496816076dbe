import { expect, test } from 'bun:test'
import { get } from 'svelte/store'
import { effectScope } from 'vue'
import { createNotifications } from '../../src/client/index.ts'
import * as svelte from '../../src/client/svelte.ts'
import * as vue from '../../src/client/vue.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { serve, tokenFor } from '../support/service.ts'

const open = async () => {
  const db = await database()
  const service = await serve(db)
  const client = createNotifications({ url: service.url, auth: () => tokenFor('42') })
  const publish = (n: number) =>
    db.sql`select kairan.publish('user-42', ${db.sql.json({ n })}, 'order.shipped')`
  return {
    client,
    publish,
    async [Symbol.asyncDispose]() {
      client.close()
      await service[Symbol.asyncDispose]()
      await db[Symbol.asyncDispose]()
    },
  }
}

test("Vue's composables follow the inbox and the events until their scope ends", async () => {
  await using app = await open()
  await app.publish(1)
  const heard: unknown[] = []
  const scope = effectScope()
  const used = scope.run(() => {
    vue.useNotification(app.client, 'order.shipped', ({ payload }) => heard.push(payload.n))
    return { ...vue.useInbox(app.client), connection: vue.useNotifications(app.client) }
  })
  const shown = () => used?.state.value.items.map(({ payload }) => payload.n).join()
  await eventually(() => used?.connection.value.status === 'open' && shown() === '1')
  await app.publish(2)
  await eventually(() => shown() === '2,1' && heard.includes(2))
  await used?.markAllRead()
  expect(used?.state.value.items.every(({ read }) => read)).toBe(true)
  scope.stop()
  let last = 0
  app.client.on('*', ({ payload }) => {
    last = Number(payload.n)
  })
  await app.publish(3)
  await eventually(() => last === 3)
  expect(heard).not.toContain(3)
  expect(shown()).toBe('2,1')
})

test("Svelte's stores follow the inbox and the events while somebody subscribes", async () => {
  await using app = await open()
  await app.publish(1)
  const heard: unknown[] = []
  const end = svelte.useNotification(app.client, '*', ({ payload }) => heard.push(payload.n))
  const inbox = svelte.useInbox(app.client)
  let shown = ''
  const stop = inbox.subscribe(({ items }) => {
    shown = items.map(({ payload }) => payload.n).join()
  })
  await eventually(() => get(svelte.useNotifications(app.client)).status === 'open')
  await eventually(() => shown === '1')
  await app.publish(2)
  await eventually(() => shown === '2,1' && heard.includes(2))
  await inbox.markAllRead()
  expect(get(inbox).items.every(({ read }) => read)).toBe(true)
  stop()
  end()
  let last = 0
  app.client.on('*', ({ payload }) => {
    last = Number(payload.n)
  })
  await app.publish(3)
  await eventually(() => last === 3)
  expect(heard).not.toContain(3)
  expect(shown).toBe('2,1')
})
