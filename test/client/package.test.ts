import { expect, test } from 'bun:test'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const run = async (command: string[], cwd: string) => {
  const child = Bun.spawn(command, { cwd, stdout: 'pipe', stderr: 'inherit' })
  const output = await new Response(child.stdout).text()
  return { code: await child.exited, output }
}

const app = `
import { createNotifications } from '@kairan/client'
import { useNotifications } from '@kairan/client/react'

type Shop = { 'order.shipped': { orderId: number } }
export const client = createNotifications<Shop>({ url: 'https://example.com', key: '42' })
client.on('order.shipped', ({ payload }) => payload.orderId.toFixed())
// @ts-expect-error: there is no such type.
client.on('order.lost', () => undefined)
export const Bell = () => useNotifications(client).unread
`

test('is a package that programs can import, with its types', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kairan-client-'))
  try {
    const modules = join(folder, 'node_modules')
    const built = await run(
      [process.execPath, 'run', 'build:client', join(modules, '@kairan/client')],
      '.',
    )
    expect(built.code).toBe(0)
    for (const name of ['react', '@types/react', 'csstype']) {
      await Bun.write(join(modules, name, '..', '.keep'), '')
      await symlink(resolve('node_modules', name), join(modules, name))
    }
    await Bun.write(join(folder, 'package.json'), '{ "type": "module" }')
    await Bun.write(join(folder, 'app.ts'), app)
    const tsc = [resolve('node_modules/.bin/tsc'), '--noEmit', '--strict', '--target', 'esnext']
    for (const kind of [
      ['esnext', 'bundler'],
      ['nodenext', 'nodenext'],
    ]) {
      const [module = '', resolution = ''] = kind
      const flags = ['--module', module, '--moduleResolution', resolution]
      expect(await run([...tsc, ...flags, 'app.ts'], folder)).toEqual({ code: 0, output: '' })
    }
    const program = `
      const { createNotifications } = await import('@kairan/client')
      createNotifications({ url: 'http://127.0.0.1:1' }).close()
      console.log(typeof (await import('@kairan/client/react')).useNotifications)`
    expect(await run([process.execPath, '-e', program], folder)).toEqual({
      code: 0,
      output: 'function\n',
    })
  } finally {
    await rm(folder, { recursive: true })
  }
})
