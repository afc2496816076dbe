import { expect, test } from 'bun:test'
import { basename, join } from 'node:path'
import { createAuth } from '../../src/auth/auth.ts'

const folder = join(import.meta.dir, '../../docs/signing')
const secret = 'Grüße, and enough random bytes: 8Zx1'
const programs: [file: string, ...command: string[]][] = [
  ['sign.mjs', process.execPath],
  ['sign.mjs', 'node'],
  ['sign.py', 'python3'],
  ['sign.go', 'go', 'run'],
  ['sign.php', 'php'],
  ['sign.rb', 'ruby'],
]

for (const [file, program = '', ...options] of programs) {
  const name = basename(program, '.exe')
  test.skipIf(Bun.which(program) === null)(
    `${file} signs a token that counts (${name})`,
    async () => {
      const child = Bun.spawn([program, ...options, join(folder, file), '42'], {
        env: { ...process.env, JWT_SECRET: secret },
        stderr: 'pipe',
      })
      const [token, errors] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ])
      expect([await child.exited, errors]).toEqual([0, ''])

      const auth = createAuth({ secrets: [secret], issuer: null, audience: null, cookie: '' })
      const identity = await auth.identify(
        new Request('http://127.0.0.1/', { headers: { authorization: `Bearer ${token.trim()}` } }),
      )
      expect(identity).toMatchObject({ userId: '42', publishes: [] })
      expect(identity.expiresAt - Date.now() / 1000).toBeWithin(3590, 3601)
    },
  )
}
