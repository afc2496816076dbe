import { expect, test } from 'bun:test'
import { get } from 'svelte/store'
import { effectScope, ref } from 'vue'
import { createNotifications } from '../../src/client/index.ts'
import * as svelte from '../../src/client/svelte.ts'
import * as vue from '../../src/client/vue.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { tokenWith } from '../support/publish.ts'
import { serve } from '../support/service.ts'

const open = async () => {
  const db = await database()
  const service = await serve(db)
  const auth = () => tokenWith({ sub: '42', 'kairan:subscribe': ['run-*'] })
  const client = createNotifications({ url: service.url, auth })
  const publish = (n: number, channel = 'user-42') =>
    db.sql`select kairan.publish(${channel}, ${db.sql.json({ n })}, 'order.shipped')`
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

test('what listens to a channel in Vue and Svelte hears it, changes it, and ends with it', async () => {
  await using app = await open()
  const heard: unknown[] = []
  const refused: string[] = []
  const name = ref('run-1')
  const scope = effectScope()
  scope.run(() =>
    vue.useChannel(
      app.client,
      name,
      '*',
      ({ payload }) => heard.push(`vue ${payload.n}`),
      () => refused.push('vue'),
    ),
  )
  const end = svelte.useChannel(
    app.client,
    'run-2',
    'order.shipped',
    ({ payload }) => heard.push(`svelte ${payload.n}`),
    () => refused.push('svelte'),
  )
  /** Publishes on all of them until these have come. */
  const hears = async (...names: string[]) => {
    await eventually(async () => {
      heard.length = 0
      for (const n of [1, 2, 3]) await app.publish(n, `run-${n}`)
      let isOver = false
      const stop = app.client.on('*', () => {
        isOver = true
      })
      await app.publish(0)
      await eventually(() => isOver)
      stop()
      return heard.toSorted().join() === names.join()
    })
  }
  await hears('svelte 2', 'vue 1')
  name.value = 'run-3'
  await hears('svelte 2', 'vue 3')
  end()
  await hears('vue 3')
  name.value = 'org-9'
  await eventually(() => refused.join() === 'vue')
  await hears()
  scope.stop()
})
