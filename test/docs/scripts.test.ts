/** The JavaScript and TypeScript on the pages, checked against the types of what it uses. */
import { expect, test } from 'bun:test'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Block, pageBlocks } from '../support/page-blocks.ts'

const root = join(import.meta.dir, '../..')

/** What the pages take for given: of an application, and of the blocks before. */
const given: Record<string, string> = {
  user: '{ id: string }',
  userId: 'string',
  id: 'string',
  item: 'string',
  token: 'string',
  databaseUrl: 'string',
  url: 'string',
  toast: '(text: unknown) => void',
  badge: '(unread: number | null, status?: string) => void',
  show: '(shown: unknown) => void',
  say: '(text: string) => void',
  $effect: '(run: () => unknown) => void',
  notifications: "import('@kairan/client').Notifications<{ 'order.shipped': { orderId: number } }>",
  kairan: "import('kairan').Kairan",
  identify: "import('kairan').Identify",
  findUser: '(cookie: unknown) => Promise<{ userId: string } | null>',
  findSession: '(cookie: unknown) => Promise<{ userId: string; expiresAt: Date } | null>',
  orders: "typeof import('../../docs/recipes/drizzle.schema.ts').orders",
  db: "import('drizzle-orm/postgres-js').PostgresJsDatabase",
}

/** As globals: a block that declares one of them means its own. */
const globals = Object.entries(given)
  .map(([name, type]) => `declare const ${name}: ${type}`)
  .join('\n')

/** TypeScript looks up such a path from the root of the disk, and a page in that of the service. */
const moduleOf = ({ text }: Block) =>
  `${text.replace(/'\/client(\/\w+)?\.js'/g, "'@kairan/client$1'")}export {}\n`

const source = (path: string) => [join(root, path)]
const packages = {
  '@kairan/client': source('src/client/index.ts'),
  '@kairan/client/*': source('src/client/*.ts'),
  kairan: source('src/embed/index.ts'),
  'kairan/elysia': source('src/embed/elysia.ts'),
  'drizzle-orm/*': source('docs/recipes/node_modules/drizzle-orm/*'),
}

test('each block of JavaScript and TypeScript on the pages is right by the types of what it uses', async () => {
  const blocks = await pageBlocks('js', 'jsx', 'ts', 'tsx')
  expect(blocks.length).toBeGreaterThan(15)
  const folder = join(root, `dist/pages-${process.pid}`)
  await mkdir(folder, { recursive: true })
  try {
    await Promise.all(
      blocks.map(block => Bun.write(join(folder, `${nameOf(block)}.tsx`), moduleOf(block))),
    )
    await Bun.write(join(folder, 'globals.d.ts'), globals)
    const compilerOptions = { jsxImportSource: 'react', paths: packages }
    const config = {
      extends: '../../tsconfig.json',
      compilerOptions,
      include: ['*', ...source('src/lib/text.d.ts')],
    }
    await Bun.write(join(folder, 'tsconfig.json'), JSON.stringify(config))
    const tsc = Bun.spawn([join(root, 'node_modules/.bin/tsc'), '--pretty', 'false', '-p', folder])
    expect(await new Response(tsc.stdout).text()).toBe('')
    expect(await tsc.exited).toBe(0)
  } finally {
    await rm(folder, { recursive: true })
  }
})

const nameOf = ({ at }: Block) => at.replace(/\W+/g, '-')
