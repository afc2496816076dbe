import { expect, test } from 'bun:test'
import { createECDH, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, createServer } from 'node:https'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sendFollowUps } from '../../docs/recipes/follow-ups.ts'
import { createPusher } from '../../docs/recipes/web-push.ts'
import { eventually } from '../support/eventually.ts'
import { followedShop } from '../support/follower.ts'

const recipes = createRequire(join(import.meta.dir, '../../docs/recipes/web-push.ts'))
const webPush: { generateVAPIDKeys(): { publicKey: string; privateKey: string } } =
  recipes('web-push')
const ece: { decrypt(body: Buffer, how: object): Buffer } = createRequire(
  recipes.resolve('web-push'),
)('http_ece')

/** A push service on loopback, with a certificate of its own. A path that begins with /gone answers 410. */
const pushService = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kairan-push-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const made = Bun.spawnSync([
    ...[
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
    ],
    ...['-days', '1', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', key, '-out', cert],
  ])
  if (!made.success) throw new Error(made.stderr.toString())
  const tls = { key: await Bun.file(key).text(), cert: await Bun.file(cert).text() }
  await rm(folder, { recursive: true })
  const pushes: { path: string; headers: Record<string, unknown>; body: Buffer }[] = []
  const server = createServer(tls, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const path = request.url ?? ''
      pushes.push({ path, headers: request.headers, body: Buffer.concat(chunks) })
      response.writeHead(path.startsWith('/gone') ? 410 : 201).end()
    })
  })
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return {
    url: `https://127.0.0.1:${port}`,
    agent: new Agent({ ca: tls.cert }),
    pushes,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise<void>(closed => server.close(() => closed()))
    },
  }
}

/** The keys of a browser. */
const browser = () => {
  const ecdh = createECDH('prime256v1')
  ecdh.generateKeys()
  const auth = randomBytes(16)
  return {
    p256dh: ecdh.getPublicKey('base64url'),
    auth: auth.toString('base64url'),
    decrypt: (body: Buffer) =>
      JSON.parse(
        ece
          .decrypt(body, {
            version: 'aes128gcm',
            privateKey: ecdh,
            authSecret: auth.toString('base64url'),
          })
          .toString(),
      ),
  }
}

test('every browser of who was away gets a push that only it can read; one that is gone is forgotten', async () => {
  await using shop = await followedShop()
  await using service = await pushService()
  const tables = await Bun.file(join(import.meta.dir, '../../docs/recipes/web-push.sql')).text()
  await shop.sql.unsafe(`${tables}; grant select, delete on push_subscriptions to ${shop.name}`)
  const [phone, laptop] = [browser(), browser()]
  const subscribe = (user: string, path: string, { p256dh, auth }: ReturnType<typeof browser>) =>
    shop.sql`insert into push_subscriptions values (${`${service.url}/${path}`}, ${user}, ${p256dh}, ${auth})`
  await subscribe('ann', 'phone', phone)
  await subscribe('ann', 'laptop', laptop)
  await subscribe('ann', 'gone', browser())
  await subscribe('bob', 'gone-too', browser())
  const stop = sendFollowUps(
    shop.worker,
    createPusher(shop.worker, webPush.generateVAPIDKeys(), service.agent),
  )
  try {
    await shop.missed('ann', 'bob', 'cid')
    const none = 'finished: No browser of this user takes pushes.'
    await eventually(async () => {
      const outcomes = Object.values(await shop.outcomes())
      return outcomes.filter(outcome => outcome !== 'open').length === 3
    })
    expect(await shop.outcomes()).toEqual({ ann: 'finished', bob: none, cid: none })
    const bodyOf = (path: string) =>
      service.pushes.find(push => push.path === path)?.body ?? Buffer.alloc(0)
    const message = { type: 'order.shipped', payload: { orderId: 7 } }
    expect(phone.decrypt(bodyOf('/phone'))).toEqual(message)
    expect(laptop.decrypt(bodyOf('/laptop'))).toEqual(message)
    expect(() => phone.decrypt(bodyOf('/laptop'))).toThrow()
    expect(service.pushes[0]?.headers).toMatchObject({
      authorization: expect.stringMatching(/^vapid t=/),
      topic: expect.stringMatching(/^followup-\d+$/),
    })
    const left = await shop.sql`select endpoint from push_subscriptions order by 1`
    expect(left.map(({ endpoint }) => endpoint)).toEqual([
      `${service.url}/laptop`,
      `${service.url}/phone`,
    ])
  } finally {
    await stop()
  }
})
