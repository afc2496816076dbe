/** Runs the proxy configurations of deploy/ with Debian's packages. Only addresses, certificates and names are replaced. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './eventually.ts'
import { freePort } from './port.ts'
import { run as runOnce } from './program.ts'

export type Proxy = AsyncDisposable & { url: string }

/** A proxy in front of these two ports, with the file that docs/operating.md shows. */
export type StartProxy = (upstreams: [number, number]) => Promise<Proxy>

export const nginx = Bun.which('nginx') ?? Bun.which('nginx', { PATH: '/usr/sbin' })
export const haproxy = Bun.which('haproxy') ?? Bun.which('haproxy', { PATH: '/usr/sbin' })
export const caddy = Bun.which('caddy')

/** deploy/nginx.conf, where /etc/nginx/nginx.conf includes it. */
export const startNginx: StartProxy = async upstreams => {
  const port = await freePort()
  const folder = await folderWithCertificate()
  const file = await deployed('nginx.conf', [
    ['kairan-1:3000', `127.0.0.1:${upstreams[0]}`],
    ['kairan-2:3000', `127.0.0.1:${upstreams[1]}`],
    ['listen 443', `listen 127.0.0.1:${port}`],
    ['/etc/nginx/tls/notify.example.com.crt', join(folder, 'tls.crt')],
    ['/etc/nginx/tls/notify.example.com.key', join(folder, 'tls.key')],
  ])
  const main = `
    daemon off; master_process off; pid nginx.pid; error_log stderr error;
    events { }
    http {
      access_log off;
      client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
      include kairan.conf;
    }`
  await Bun.write(join(folder, 'nginx.conf'), main)
  await Bun.write(join(folder, 'kairan.conf'), file)
  return start([nginx ?? 'nginx', '-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], folder, port)
}

/** deploy/haproxy.cfg, after empty sections. */
export const startHaproxy: StartProxy = upstreams => haproxyBefore(upstreams, 'https')

/** The same behind a program that ends TLS, where HAProxy writes to the socket itself. */
export const startPlainHaproxy: StartProxy = upstreams => haproxyBefore(upstreams, 'http')

const haproxyBefore = async (upstreams: [number, number], protocol: 'http' | 'https') => {
  const port = await freePort()
  const folder = await folderWithCertificate()
  const tls = `ssl crt ${join(folder, 'tls.pem')}`
  const pem = [await text(join(folder, 'tls.crt')), await text(join(folder, 'tls.key'))].join('')
  await Bun.write(join(folder, 'tls.pem'), pem)
  const file = await deployed('haproxy.cfg', [
    ['kairan-1:3000', `127.0.0.1:${upstreams[0]}`],
    ['kairan-2:3000', `127.0.0.1:${upstreams[1]}`],
    ['bind :443', `bind 127.0.0.1:${port}`],
    ['ssl crt /etc/haproxy/tls/notify.example.com.pem', protocol === 'https' ? tls : ''],
    ['alpn h2,http/1.1', protocol === 'https' ? 'alpn h2,http/1.1' : ''],
  ])
  await Bun.write(join(folder, 'haproxy.cfg'), `global\n  maxconn 1000\n\n${file}`)
  return start(
    [haproxy ?? 'haproxy', '-db', '-f', join(folder, 'haproxy.cfg')],
    folder,
    port,
    {},
    protocol,
  )
}

/** deploy/Caddyfile, whose names are variables. Caddy's own authority signs the certificate. */
export const startCaddy: StartProxy = async upstreams => {
  const port = await freePort()
  const folder = await folderWithCertificate()
  const file = await deployed('Caddyfile', [])
  const global = `{
    admin off
    auto_https disable_redirects
    skip_install_trust
    local_certs
    default_bind 127.0.0.1
  }`
  await Bun.write(join(folder, 'Caddyfile'), `${global}\n${file}`)
  const command = [caddy ?? 'caddy', 'run', '--adapter', 'caddyfile', '--config', 'Caddyfile']
  return start(command, folder, port, {
    KAIRAN_SITE: `https://localhost:${port}`,
    KAIRAN_UPSTREAMS: upstreams.map(upstream => `127.0.0.1:${upstream}`).join(' '),
  })
}

const text = (path: string) => Bun.file(path).text()

/** A file of deploy/ with replaced names. Throws when the file no longer contains one of them. */
const deployed = async (name: string, replaced: [string, string][]) => {
  let file = await text(join(import.meta.dir, '../../deploy', name))
  for (const [from, to] of replaced) {
    if (!file.includes(from)) throw new Error(`deploy/${name} has no ${from}`)
    file = file.replaceAll(from, to)
  }
  return file
}

const folderWithCertificate = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kairan-proxy-'))
  await chmod(folder, 0o755)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const files = ['-keyout', 'tls.key', '-out', 'tls.crt', '-subj', '/CN=localhost']
  await runOnce(['openssl', 'req', '-x509', ...key, ...files], { cwd: folder })
  return folder
}

const start = async (
  command: string[],
  folder: string,
  port: number,
  env: Record<string, string> = {},
  protocol = 'https',
): Promise<Proxy> => {
  const child = Bun.spawn(command, {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...{ HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
      ...{ PATH: process.env.PATH, ...env },
    },
  })
  let errors = ''
  const reading = (async () => {
    const decoder = new TextDecoder()
    for await (const bytes of child.stderr) errors += decoder.decode(bytes, { stream: true })
  })()
  const url = `${protocol}://localhost:${port}`
  try {
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`${command[0]} ended: ${errors}`)
      return fetch(url, { tls: { rejectUnauthorized: false } }).then(
        () => true,
        () => false,
      )
    })
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
      await child.exited
      clearTimeout(timer)
      await reading
      await rm(folder, { recursive: true, force: true })
    },
  }
}
