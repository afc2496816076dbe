/** `bun examples/orders/server.ts`: a shop with a Kairan of its own. See README.md. */
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readConfig } from '../../src/config.ts'
import { startEmbedded } from '../../src/dev/postgres/embedded.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { findPort } from '../../src/process/port.ts'
import { createService } from '../../src/service.ts'
import { createMailer } from './mailer.ts'
import { createShop } from './shop.ts'

const { DATABASE_URL, HOST = '127.0.0.1', PORT } = process.env

// Where nobody asked for a port, any will do: `bun run dev` may have 3000.
const port = PORT ? await findPort(HOST, Number(PORT)) : await findPort(HOST, 3000).catch(() => 0)

// Kept between runs.
const directory = process.env.DATA_DIRECTORY ?? join(import.meta.dir, '../../.kairan/orders')
await mkdir(directory, { recursive: true })
await chmod(directory, 0o755)
const postgres = DATABASE_URL ? null : await startEmbedded({ directory })
const databaseUrl = DATABASE_URL || (postgres?.url ?? '')

// The shop signs who somebody is; Kairan believes it, as both know the secret.
const secret =
  process.env.JWT_SECRET ??
  Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString('base64')
const kairan = createService(
  readConfig({
    DATABASE_URL: databaseUrl,
    JWT_SECRET: secret,
    HOST: '127.0.0.1',
    PORT: '0',
    DRAIN_MS: '500',
    ROLE_LEVEL_QUERY: 'select role_level from users where id = $1',
  }),
  await createLogger({ level: 'warn', pretty: true }),
)
await kairan.start()
const shop = await createShop({
  databaseUrl,
  secret,
  kairan: kairan.url,
  hostname: HOST,
  port,
})

const stopMailer = await createMailer(databaseUrl, async ({ to, subject, text }) => {
  console.log(`  E-mail      to ${to}: ${subject}. ${text}`)
})

let isStopping = false
// Before it says that it is there: whoever reads that may end it at once.
const stop = async () => {
  // `bun run` passes on what its process group got, too: then it comes twice.
  if (isStopping) return
  isStopping = true
  await stopMailer()
  await shop.stop()
  await kairan.stop()
  await postgres?.stop()
  process.exit(0)
}
process.on('SIGINT', stop)
process.on('SIGTERM', stop)

console.log(`
  The shop    ${shop.url}
  Postgres    psql '${databaseUrl}'
  Try         insert into orders (user_id, item) values ('1', 'Sencha');
              update orders set status = 'shipped' where status = 'placed';
`)
