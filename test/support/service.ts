import { createAuth } from '../../src/auth/auth.ts'
import { readConfig } from '../../src/config.ts'
import type { Report } from '../../src/lib/report.ts'
import type { Relay } from '../../src/relay/relay.ts'
import { createService, type Service } from '../../src/service.ts'
import { eventually } from './eventually.ts'

export const secret = 'a-secret-of-the-tests-0123456789-abcdefgh'

const auth = createAuth({ secrets: [secret], issuer: null, audience: null, cookie: 'kairan_token' })

/** A token for a user that is valid for an hour. */
export const tokenFor = (userId: string, seconds = 3600) => auth.sign(userId, seconds)

export type Logged = { level: keyof Report; facts: object; sentence: string }

export type TestService = AsyncDisposable & { url: string; service: Service; logs: Logged[] }

/**
 * A service in this process, on a free port of 127.0.0.1, ready unless told not to wait for that. It is
 * stopped at the end of the scope.
 */
export const serve = async (
  { url }: { url: string },
  env: Record<string, string> = {},
  options: { demo?: boolean; ready?: boolean; relay?: Relay } = {},
): Promise<TestService> => {
  const logs: Logged[] = []
  const listen = (level: keyof Report) => (facts: object, sentence: string) => {
    logs.push({ level, facts, sentence })
  }
  const report = { info: listen('info'), warn: listen('warn'), error: listen('error') }
  const config = readConfig({
    DATABASE_URL: url,
    JWT_SECRET: secret,
    PORT: '0',
    DRAIN_MS: '0',
    // Most tests publish before their users are here.
    NEW_USERS: 'unread',
    ...env,
  })
  const service = createService(config, report, options)
  await service.start()
  if (options.ready !== false) await eventually(() => service.reasons().length === 0)
  return {
    url: service.url,
    service,
    logs,
    [Symbol.asyncDispose]: () => service.stop(),
  }
}
