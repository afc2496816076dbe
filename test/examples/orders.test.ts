import { expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openReady } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { openExample } from '../support/example.ts'

const post = async (url: string, body: object, token = '') => {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  })
  const answer: { token?: string; id?: number } = await response.json()
  return { status: response.status, ...answer }
}

const signIn = async (url: string, user: string) =>
  (await post(`${url}/session`, { user })).token ?? ''

test('an order reaches its customer and the admin through the shop, and nobody else', async () => {
  await using shop = await openExample()
  const [aiko, ben, chidi] = await Promise.all(['1', '2', '3'].map(id => signIn(shop.url, id)))
  await using aikosStream = await openReady(shop.url, { token: aiko ?? '' })
  await using bensStream = await openReady(shop.url, { token: ben ?? '' })
  await using chidisStream = await openReady(shop.url, { token: chidi ?? '' })

  const { id } = await post(`${shop.url}/orders`, { item: 'Sencha' }, aiko)
  const { status } = await post(`${shop.url}/orders/${id}`, { status: 'shipped' }, chidi)
  expect(status).toBe(200)
  const order = { id, item: 'Sencha', user_id: '1' }
  for (const stream of [aikosStream, chidisStream]) {
    expect(await stream.atLeast(2)).toMatchObject([
      { type: 'order.placed', payload: { ...order, status: 'placed' } },
      { type: 'order.shipped', payload: { ...order, status: 'shipped' } },
    ])
  }

  expect((await post(`${shop.url}/orders/${id}`, { status: 'delivered' }, aiko)).status).toBe(403)
  expect((await post(`${shop.url}/orders/${id}`, { status: 'placed' }, chidi)).status).toBe(409)
  expect((await post(`${shop.url}/orders`, { item: 'Sencha' })).status).toBe(401)
  expect(bensStream.events).toEqual([])

  // Who leaves the shop leaves Kairan, too.
  bensStream.close()
  await eventually(() => shop.kairan.service.streams === 2)
})

test('starts with a Postgres of its own, and what psql writes reaches the page', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'kairan-example-'))
  const program = Bun.spawn([process.execPath, 'examples/orders/server.ts'], {
    env: { ...process.env, DATABASE_URL: '', DATA_DIRECTORY: directory, PORT: '0' },
    stdout: 'pipe',
    stderr: 'inherit',
  })
  await using _ = {
    [Symbol.asyncDispose]: async () => {
      program.kill('SIGTERM')
      await program.exited
      await rm(directory, { recursive: true, force: true })
    },
  }
  let printed = ''
  for await (const bytes of program.stdout) {
    printed += new TextDecoder().decode(bytes)
    if (/update orders .*\n/.test(printed)) break
  }
  const url = /http:\S+/.exec(printed)?.[0] ?? ''
  const databaseUrl = /psql '(.+)'/.exec(printed)?.[1] ?? ''
  expect(await (await fetch(url)).text()).toContain('<title>Sencha & Co.</title>')
  await using aiko = await openReady(url, { token: await signIn(url, '1') })
  await using sql = new Bun.SQL(databaseUrl)
  await sql.unsafe(/insert into orders .*/.exec(printed)?.[0] ?? '')
  await sql.unsafe(/update orders .*/.exec(printed)?.[0] ?? '')
  expect(await aiko.atLeast(2)).toMatchObject([{ type: 'order.placed' }, { type: 'order.shipped' }])
  program.kill('SIGTERM')
  expect(await program.exited).toBe(0)
})
