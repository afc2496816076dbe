import { expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { Glob } from 'bun'
import { embed, pages } from '../../docs/embed.ts'

const root = join(import.meta.dir, '../..')
const all = [
  ...pages(),
  ...[...new Glob('*.md').scanSync(root)].map(page => join(root, page)),
  ...new Glob('examples/**/*.md').scanSync(root),
]

test('each page shows the files as they are tested: else run `bun docs/embed.ts`', async () => {
  expect(pages().length).toBeGreaterThan(5)
  for (const page of pages()) expect(await embed(page)).toBe(await Bun.file(page).text())
})

test('each file of a recipe is shown on a page', async () => {
  const shown = (await Promise.all(pages().map(page => Bun.file(page).text()))).join('\n')
  const files = [
    ...new Glob('**/*.{ts,sql,py,prisma}').scanSync(join(root, 'docs/recipes')),
    ...[...new Glob('*').scanSync(join(root, 'docs/clients'))].map(file => `clients/${file}`),
  ].filter(path => !/node_modules|prisma\/client\//.test(path))
  expect(files.length).toBeGreaterThan(10)
  for (const file of files) expect(shown).toContain(`<!-- file: ${file} -->`)
})

test('no page links to a file that is not there', async () => {
  for (const page of all) {
    const text = await Bun.file(page).text()
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      const path = join(dirname(page), target)
      expect({ page: relative(root, page), target, exists: existsSync(path) }).toMatchObject({
        exists: true,
      })
    }
  }
})
