import { createAuth } from '../auth/auth.ts'
import { publishScope } from '../auth/identity.ts'
import { findPort } from '../process/port.ts'
import { startEmbedded } from './postgres/embedded.ts'
import { directory, isCheckout, keptSecret, root } from './settings.ts'

type Environment = Record<string, string | undefined>

/** The parts of `process` that `dev` uses. */
type Process = {
  env: Environment
  execPath: string
  pid: number
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown
}

/**
 * Serves for a developer: with an embedded Postgres unless DATABASE_URL names one, with the demo page, and with a
 * restart at every change of the source. Resolves with the exit code after a signal.
 */
export const dev = async (process: Process): Promise<number> => {
  const { env } = process
  if (!isCheckout) {
    throw new Error('dev needs a checkout of the source. To serve, use start.')
  }
  const postgres = env.DATABASE_URL ? null : await startEmbedded({ directory })
  const settings = {
    ...env,
    DATABASE_URL: env.DATABASE_URL ?? postgres?.url,
    JWT_SECRET: env.JWT_SECRET ?? (await keptSecret()),
    HOST: env.HOST ?? '127.0.0.1',
    PORT: env.PORT ?? String(await freePort(3000)),
    WORKERS: '1',
    DRAIN_MS: env.DRAIN_MS ?? '500',
  }
  // --watch starts a new process. With --hot, open streams would stay on the old code.
  const child = Bun.spawn(
    [
      ...[process.execPath, '--watch', '--no-clear-screen', 'src/main.ts'],
      ...['start', '--demo', `--parent=${process.pid}`],
    ],
    { cwd: root, env: settings, stdio: ['inherit', 'inherit', 'inherit'] },
  )
  const end = () => child.kill('SIGTERM')
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  try {
    await greet(settings, child)
    return await child.exited
  } finally {
    await postgres?.stop()
  }
}

/** Prints what a newcomer needs: the page, the database, and something to try. */
const greet = async (
  settings: Environment & { JWT_SECRET: string },
  child: { exited: Promise<number>; exitCode: number | null },
) => {
  const { HOST, PORT, DATABASE_URL, JWT_SECRET } = settings
  const url = `http://${HOST}:${PORT}`
  while (!(await isReady(url))) {
    if (child.exitCode !== null) return
    await Promise.race([Bun.sleep(100), child.exited])
  }
  const [secret = ''] = JWT_SECRET.split(',')
  const { JWT_ISSUER: issuer = null, JWT_AUDIENCE: audience = null } = settings
  const auth = createAuth({ secrets: [secret], issuer, audience, cookie: '' })
  const token = await auth.sign('1', 30 * 86_400, { scope: publishScope })
  console.log(`
  Demo page   ${url}/
  Dashboard   ${url}/dashboard (be Chidi on the demo page first, or: npx bun src/main.ts role 1 100)
  Postgres    psql '${DATABASE_URL}'
  Publish     select kairan.publish('user-1', '{"text": "Hello"}', 'demo.hello');
  Token       export TOKEN=${token}
              of user 1, may publish; for another: npx bun src/main.ts token --sub 2
  Stream      curl -N -H "Authorization: Bearer $TOKEN" ${url}/notifications/stream
  Over HTTP   curl -H "Authorization: Bearer $TOKEN" --json '{"channel": "user-1", "payload": {}}' ${url}/notifications
`)
}

const isReady = async (url: string) => {
  try {
    return (await fetch(`${url}/readyz`)).ok
  } catch {
    return false // The service does not listen yet.
  }
}

const freePort = async (from: number): Promise<number> => {
  for (let port = from; port < from + 20; port++) {
    const found = await findPort('127.0.0.1', port).catch(() => null)
    if (found !== null) return found
  }
  return from
}
