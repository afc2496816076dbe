import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { Glob } from 'bun'
import { controls, description, reasonsOf } from '../support/description.ts'

const source = join(import.meta.dir, '../../src')

/** Only the dashboard's own page uses these. */
const internal = [
  'post /admin/session',
  'delete /admin/session',
  'post /admin/disconnect',
  'post /admin/publish',
  'post /admin/redeliver',
  'post /admin/prune',
  'post /admin/withdraw',
  'post /admin/follow-ups/retry',
  'get /',
  'get /dashboard',
  'get /dashboard.js',
  'get /dashboard.css',
]

test('the API description has each route of the source', async () => {
  const paths: Record<string, object> = description().paths
  const described = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map(method => `${method} ${path.replace(/\{\w+\}/g, '{}')}`),
  )
  const routes: string[] = []
  for (const file of new Glob('**/*.ts').scanSync(source)) {
    // The demo is for trying only.
    if (file.startsWith('client/') || file.startsWith('dev/')) continue
    const text = await Bun.file(join(source, file)).text()
    if (!text.includes("from 'elysia'")) continue
    const [, prefix = ''] = /prefix: '([^']+)'/.exec(text) ?? []
    for (const [, method, path = ''] of text.matchAll(/\.(get|post|put|delete)\(\s*'(\/[^']*)'/g)) {
      routes.push(`${method} ${prefix}${path.replace(/:\w+/g, '{}')}`)
    }
  }
  expect(routes.length).toBeGreaterThan(20)
  expect(routes.filter(route => !described.includes(route)).toSorted()).toEqual(internal.toSorted())
})

test('docs/control-events.md has each control event, and each reason of a reconnect', async () => {
  const page = await Bun.file(join(source, '../docs/control-events.md')).text()
  const [events = '', reasons = ''] = page.split('| `reason` of `reconnect`')
  const types = controls()
    .flatMap(({ types }) => types)
    .toSorted()
  expect(types).toContain('ready')
  expect(named(events.slice(events.indexOf('## Control events')))).toEqual(types)
  const why = reasonsOf('reconnect').toSorted()
  expect(why).toContain('draining')
  expect(named(reasons)).toEqual(why)
})

/** What stands in the first column of a table. */
const named = (text: string) =>
  [...text.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)]
    .flatMap(([, names = '']) => names.replaceAll('`', '').split(', '))
    .filter(name => name !== 'type')
    .toSorted()
