/** `bun examples/channels/server.ts`: the application with a Kairan of its own. See README.md. */
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readConfig } from '../../src/config.ts'
import { startEmbedded } from '../../src/dev/postgres/embedded.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { findPort } from '../../src/process/port.ts'
import { createService } from '../../src/service.ts'
import { createApp } from './app.ts'

const { DATABASE_URL, HOST = '127.0.0.1', PORT } = process.env
const port = PORT ? await findPort(HOST, Number(PORT)) : await findPort(HOST, 3000).catch(() => 0)

// Kept between runs.
const directory = process.env.DATA_DIRECTORY ?? join(import.meta.dir, '../../.kairan/channels')
await mkdir(directory, { recursive: true })
await chmod(directory, 0o755)
const postgres = DATABASE_URL ? null : await startEmbedded({ directory })
const databaseUrl = DATABASE_URL || (postgres?.url ?? '')

const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString('base64')
const kairan = createService(
  readConfig({ DATABASE_URL: databaseUrl, JWT_SECRET: secret, PORT: '0', DRAIN_MS: '500' }),
  await createLogger({ level: 'warn', pretty: true }),
)
await kairan.start()
const app = await createApp({ databaseUrl, secret, kairan: kairan.url, hostname: HOST, port })

let isStopping = false
// Before it says that it is there: whoever reads that may end it at once.
const stop = async () => {
  // `bun run` passes on what its process group got, too: then it comes twice.
  if (isStopping) return
  isStopping = true
  await app.stop()
  await kairan.stop()
  await postgres?.stop()
  process.exit(0)
}
process.on('SIGINT', stop)
process.on('SIGTERM', stop)

console.log(`
  The pages   ${app.url}
  Postgres    psql '${databaseUrl}'
`)
