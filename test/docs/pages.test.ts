import { expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { Glob } from 'bun'
import { embed, pages } from '../../docs/embed.ts'
import { readConfig } from '../../src/config.ts'

const root = join(import.meta.dir, '../..')
const all = [
  ...pages(),
  ...[...new Glob('*.md').scanSync(root)].map(page => join(root, page)),
  ...[...new Glob('examples/**/*.md').scanSync(root)].map(page => join(root, page)),
]

test('each page shows the files as they are tested: else run `bun docs/embed.ts`', async () => {
  expect(pages().length).toBeGreaterThan(5)
  for (const page of pages()) expect(await embed(page)).toBe(await Bun.file(page).text())
})

test('each file of a recipe is shown on a page', async () => {
  const shown = (await Promise.all(pages().map(page => Bun.file(page).text()))).join('\n')
  const files = [
    ...new Glob('**/*.{ts,sql,py,prisma}').scanSync(join(root, 'docs/recipes')),
    ...[...new Glob('{clients,signing}/*').scanSync(join(root, 'docs'))],
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

test('no page links to a heading that is not there', async () => {
  for (const page of all) {
    const text = await Bun.file(page).text()
    for (const [, target = '', anchor = ''] of text.matchAll(
      /\]\((?!https?:)([^)#]*)#([^)]+)\)/g,
    )) {
      const path = target === '' ? page : join(dirname(page), target)
      if (!path.endsWith('.md')) continue
      const anchors = anchorsOf(await Bun.file(path).text())
      const found = { page: relative(root, page), link: `${target}#${anchor}` }
      expect({ ...found, exists: anchors.includes(anchor) }).toMatchObject({ exists: true })
    }
  }
})

/** The anchors that GitHub gives to the headings of a page. */
const anchorsOf = (text: string) =>
  [...withoutCode(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )

const withoutCode = (text: string) => text.replace(/^```[\s\S]*?^```/gm, '')

test('no page names a file of the source that is not there', async () => {
  // A file may be named by the end of its path: `hub.ts`, `stream/hub.ts`.
  const files = [
    ...new Glob('{src,test,bench,deploy,docs,examples,scripts}/**/*.{ts,sql,yaml}').scanSync(root),
  ]
    .filter(path => !path.includes('node_modules/'))
    .map(path => `/${path}`)
  for (const page of all) {
    const text = await Bun.file(page).text()
    const named = text.matchAll(/`([\w./-]+\.(?:ts|sql|yaml))`|\b((?:src|test)\/[\w./-]+\.ts)\b/g)
    for (const [, quoted, plain] of named) {
      const path = quoted ?? plain ?? ''
      const exists = files.some(file => file.endsWith(`/${path}`))
      expect({ page: relative(root, page), path, exists }).toMatchObject({ exists: true })
    }
  }
})

test('each page of docs is reached from the README', async () => {
  const reached = new Set<string>()
  const visit = async (page: string) => {
    if (reached.has(page)) return
    reached.add(page)
    const text = await Bun.file(page).text()
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      if (target.endsWith('.md')) await visit(join(dirname(page), target))
    }
  }
  await visit(join(root, 'README.md'))
  expect(all.filter(page => !reached.has(page)).map(page => relative(root, page))).toEqual([])
})

test('the Japanese README leads to each page to which the English one does', async () => {
  const linksOf = async (page: string) => {
    const text = await Bun.file(join(root, page)).text()
    return [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target = '']) => target)
  }
  const found = new Set(await linksOf('README.ja.md'))
  const missing = (await linksOf('README.md')).filter(target => !found.has(target))
  expect(missing).toEqual(['README.ja.md'])
})

test('the README has at most 150 lines, none wider than 120 columns', async () => {
  const lines = (await Bun.file(join(root, 'README.md')).text()).trimEnd().split('\n')
  expect(lines.length).toBeLessThanOrEqual(150)
  expect(lines.filter(line => Bun.stringWidth(line) > 120)).toEqual([])
})

test('no page has a line of text that is wider than 120 columns', async () => {
  for (const page of all) {
    const lines = withoutCode(await Bun.file(page).text()).split('\n')
    // A row of a table, indented code and a picture can't be broken.
    const wide = lines.filter(line => Bun.stringWidth(line) > 120 && !/^(\|| {4}|!\[)/.test(line))
    expect({ page: relative(root, page), wide }).toMatchObject({ wide: [] })
  }
})

test('docs/settings.md names each setting, and no other', async () => {
  const read = new Set<string>()
  const environment = new Proxy<Record<string, string>>(
    {},
    {
      get(_, name) {
        read.add(String(name))
        return undefined
      },
    },
  )
  expect(() => readConfig(environment)).toThrow()
  const text = await Bun.file(join(root, 'docs/settings.md')).text()
  const named = [...text.matchAll(/^\| `([A-Z_]+)`/gm)].map(([, name = '']) => name)
  expect(read.size).toBeGreaterThan(30)
  expect(named.toSorted()).toEqual([...read].toSorted())
})
