import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type SecureVersion } from 'node:tls'
import type { TlsSettings } from '../lib/postgres-url.ts'

/** The server can not be trusted, or has no TLS. Trying again changes nothing until somebody does. */
export class TlsError extends Error {
  override readonly name = 'TlsError'
}

/**
 * Encrypts a connection to Postgres that has just been made. `name` is that of the host, null for an IP address. Throws
 * TlsError when the server has no TLS, or not the certificate that `sslmode` asks for.
 */
export const secure = async (socket: Socket, settings: TlsSettings, name: string | undefined) => {
  if (!settings.isDirect && !(await speaksTls(socket))) {
    if (settings.mode === 'prefer' || settings.mode === 'allow') return socket
    throw new TlsError(`the server does not speak TLS, which sslmode=${settings.mode} asks for`)
  }
  const encrypted = connectTls({
    socket,
    ...(settings.sendsName && name !== undefined ? { servername: name } : {}),
    ...(settings.isDirect ? { ALPNProtocols: ['postgresql'] } : {}),
    ...(await trust(settings, name)),
    ...(await own(settings)),
    ...versions(settings),
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const failed = (error: Error) =>
    reject(isCertificate(error) ? new TlsError(error.message) : error)
  const closed = () => reject(new Error('the connection was closed during the TLS handshake'))
  encrypted.once('secureConnect', resolve).once('error', failed).once('close', closed)
  try {
    await promise
    return encrypted
  } catch (error) {
    encrypted.destroy()
    throw error
  } finally {
    encrypted.off('secureConnect', resolve).off('error', failed).off('close', closed)
  }
}

/** SSLRequest: the server answers with one byte, `S` or `N`. */
const speaksTls = async (socket: Socket) => {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const closed = () => reject(new Error('the connection was closed'))
  socket.once('data', resolve).once('error', reject).once('close', closed)
  socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
  try {
    const answer = await promise
    // More than one byte was sent by somebody in between, before there was anything to protect it.
    if (answer.length !== 1) throw new TlsError('the server said more than whether it speaks TLS')
    return answer[0] === 0x53
  } finally {
    socket.off('data', resolve).off('error', reject).off('close', closed)
  }
}

/** What the server's certificate has to be. */
const trust = async (
  { mode, rootCertificate }: TlsSettings,
  name: string | undefined,
): Promise<ConnectionOptions> => {
  const checksName = mode === 'verify-full'
  const isFile = rootCertificate !== undefined && rootCertificate !== 'system'
  // As in libpq, a root certificate makes "require" check the chain.
  const isChecked = checksName || mode === 'verify-ca' || (mode === 'require' && isFile)
  if (!isChecked) return { rejectUnauthorized: false }
  return {
    rejectUnauthorized: true,
    ...(isFile ? { ca: await readFile(rootCertificate) } : {}),
    ...(checksName && name !== undefined
      ? {}
      : checksName
        ? {}
        : { checkServerIdentity: () => undefined }),
  }
}

/** The certificate that this side shows. */
const own = async ({ certificate, key, keyPassword }: TlsSettings): Promise<ConnectionOptions> => ({
  ...(certificate === undefined ? {} : { cert: await readFile(certificate) }),
  ...(key === undefined ? {} : { key: await readFile(key) }),
  ...(keyPassword === undefined ? {} : { passphrase: keyPassword }),
})

const versions = ({ minVersion, maxVersion }: TlsSettings): ConnectionOptions => ({
  ...(isVersion(minVersion) ? { minVersion } : {}),
  ...(isVersion(maxVersion) ? { maxVersion } : {}),
})

const isVersion = (text: string | undefined): text is SecureVersion =>
  text !== undefined && /^TLSv1(\.[123])?$/.test(text)

/** Node's and OpenSSL's codes of what is wrong with a certificate. */
const isCertificate = (error: Error) =>
  'code' in error && /CERT|SIGNED|ALTNAME|ISSUER|LEAF_SIGNATURE/.test(String(error.code))
