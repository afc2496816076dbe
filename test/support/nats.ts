import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './eventually.ts'
import { freePort, isListening } from './port.ts'
import { run } from './program.ts'

export type TestNats = AsyncDisposable & {
  /** `host:port`, for a URL of any kind. */
  address: string
  url: string
  readonly pid: number
  /** Sends its process a signal. */
  signal(name: NodeJS.Signals): void
  /** Ends it as a crash does. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
}

/** Debian's nats-server on loopback, with these lines of configuration. It is stopped at the end of the scope. */
export const nats = async (lines: readonly string[] = []): Promise<TestNats> => {
  const directory = await mkdtemp(join(tmpdir(), 'kairan-nats-'))
  const port = await freePort()
  const file = join(directory, 'nats.conf')
  await Bun.write(file, ['host: 127.0.0.1', `port: ${port}`, ...lines].join('\n'))
  const spawn = () => {
    try {
      return Bun.spawn(['nats-server', '-c', file], { stdout: 'ignore', stderr: 'ignore' })
    } catch {
      throw new Error('There is no nats-server: apt-get install nats-server')
    }
  }
  let child = spawn()
  const listening = () =>
    eventually(async () => {
      if (child.exitCode !== null) throw new Error(`nats-server ended with ${child.exitCode}`)
      return isListening(port)
    })
  await listening()
  const kill = async () => {
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await child.exited
  }
  return {
    address: `127.0.0.1:${port}`,
    url: `nats://127.0.0.1:${port}`,
    get pid() {
      return child.pid
    },
    signal: name => child.kill(name),
    kill,
    async start() {
      child = spawn()
      await listening()
    },
    async [Symbol.asyncDispose]() {
      await kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Files of an authority, and of certificates for this name and for a client, which the authority signed. */
export const certificates = async (subjectAltName: string) => {
  const folder = await mkdtemp(join(tmpdir(), 'kairan-tls-'))
  await chmod(folder, 0o755)
  const openssl = (...args: string[]) => run(['openssl', ...args], { cwd: folder })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  await openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=CA')
  await Bun.write(join(folder, 'ext'), `subjectAltName=${subjectAltName}`)
  for (const name of ['server', 'client']) {
    await openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', '/CN=x')
    await openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key'],
      ...['-out', `${name}.crt`, '-CAcreateserial', '-extfile', 'ext'],
    )
  }
  return {
    file: (name: string) => join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
