import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuth } from '../../src/auth/auth.ts'
import { startEmbedded } from '../../src/dev/postgres/embedded.ts'
import { freePort } from '../../test/support/port.ts'
import { isReady } from '../../test/support/process.ts'

/** What the tokens are signed with. */
export const secret = 'a-secret-of-the-benchmarks-0123456789-abcdef'
const auth = createAuth({ secrets: [secret], issuer: null, audience: null, cookie: '' })

export const tokenFor = (userId: string) => auth.sign(userId, 3600)

/** Tokens of this many users. */
export const tokens = (count: number) =>
  Promise.all(Array.from({ length: count }, (_, n) => tokenFor(String(n))))

/** Starts a Postgres that writes durably, as in production. BENCH_DATABASE_URL names another one. */
export const benchDatabase = async (settings: Record<string, string> = {}) => {
  const { BENCH_DATABASE_URL: url } = process.env
  if (url) return { url, [Symbol.asyncDispose]: async () => undefined }
  return ownDatabase(settings)
}

/** As above, whatever BENCH_DATABASE_URL is; with the file of the server's log. */
export const ownDatabase = async (settings: Record<string, string> = {}) => {
  const directory = await mkdtemp(join(tmpdir(), 'kairan-bench-'))
  // The server's user has to enter it, if root runs this.
  await chmod(directory, 0o755)
  const server = await startEmbedded({
    directory,
    settings: { max_connections: '300', ...settings },
  })
  return {
    url: server.url,
    log: join(directory, 'postgres.log'),
    async [Symbol.asyncDispose]() {
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Kairan in a process of its own, on 127.0.0.1, ready. */
export const benchService = async (
  databaseUrl: string,
  env: Record<string, string> = {},
  on: string[] = [],
) => {
  const port = await freePort()
  const service = Bun.spawn([...on, process.execPath, 'src/main.ts', 'start'], {
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      JWT_SECRET: secret,
      PORT: String(port),
      DRAIN_MS: '0',
      LOG_LEVEL: 'warn',
      ...env,
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const url = `http://127.0.0.1:${port}`
  while (!(await isReady(url))) {
    if (service.exitCode !== null) throw new Error(`Kairan ended with ${service.exitCode}`)
    await Bun.sleep(50)
  }
  return {
    url,
    pid: service.pid,
    async [Symbol.asyncDispose]() {
      service.kill('SIGTERM')
      await service.exited
    },
  }
}
