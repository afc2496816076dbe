import { expect, test } from 'bun:test'
import { dirname, join } from 'node:path'
import { Glob } from 'bun'
import { mistakes } from './faults/mistakes.ts'
import { mistakes as leaks } from './security/mistakes.ts'
import { copyWith } from './support/planted.ts'

/** Each file of src with the files of src that it imports, as paths below src. */
const sources = await Promise.all(
  [...new Glob('**/*.{ts,tsx}').scanSync('src')]
    .filter(path => !path.endsWith('.d.ts'))
    .map(async path => {
      const text = await Bun.file(`src/${path}`).text()
      const imports = [...text.matchAll(/\bfrom '([^']+)'|\bimport\('([^']+)'\)/g)].map(
        ([, from, lazy]) => from ?? lazy ?? '',
      )
      return {
        path,
        text,
        packages: imports.filter(name => !name.startsWith('.')),
        files: imports
          .filter(name => name.startsWith('.'))
          .map(name => join(dirname(path), name))
          .filter(name => /^[^.].*\.tsx?$/.test(name)),
      }
    }),
)

/** Who imports a package, as paths below src. */
const importersOf = (name: RegExp) =>
  sources.filter(({ packages }) => packages.some(item => name.test(item))).map(({ path }) => path)

/** The rooms, from the lowest to the highest: a file imports from its own room and from lower ones. */
const floors = [
  'lib',
  'postgres',
  'log',
  'relay',
  'http',
  'observe',
  'config',
  'auth',
  'publish',
  'inbox',
  'follow-up',
  'stream',
  'admin',
  'client',
  'dashboard',
  'process',
  'dev',
  '',
  'embed',
]

const roomOf = (path: string) => (path.includes('/') ? (path.split('/')[0] ?? '') : '')

test('every room has its floor', () => {
  const rooms = new Set(sources.map(({ path }) => roomOf(path)))
  expect([...rooms].filter(room => !floors.includes(room))).toEqual([])
})

test('no file imports from a higher room', () => {
  const upwards = sources.flatMap(({ path, files }) =>
    files
      .filter(file => floors.indexOf(roomOf(file)) > floors.indexOf(roomOf(path)))
      .map(file => `${path} imports ${file}`),
  )
  expect(upwards).toEqual([])
})

test('no files import each other in a circle', () => {
  const importsOf = new Map(sources.map(({ path, files }) => [path, files]))
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (path: string, way: string[]) => {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(' > '))
    if (done.has(path) || way.includes(path)) return
    for (const file of importsOf.get(path) ?? []) visit(file, [...way, path])
    done.add(path)
  }
  for (const { path } of sources) visit(path, [])
  expect(circles).toEqual([])
})

test('elysia is imported only in routes and in http', () => {
  const found = importersOf(/^@?elysia/)
  expect(found).not.toBeEmpty()
  // Signing with @elysiajs/jwt is no HTTP.
  expect(found.filter(path => !/^http\/|routes\.ts$|^auth\/auth\.ts$/.test(path))).toEqual([])
})

test('postgres.js is imported only in postgres', () => {
  const found = importersOf(/^postgres$/)
  expect(found).not.toBeEmpty()
  expect(found.filter(path => !/^postgres\/|^dev\/postgres\//.test(path))).toEqual([])
})

test('the database is used only in stores, the log and postgres', () => {
  const found = sources.filter(({ files }) => files.some(file => roomOf(file) === 'postgres'))
  const isAllowed = (path: string) =>
    /^(postgres|relay|log|dev\/postgres)\/|(^|[/-])store\.ts$|^(main|instance|delivery|api|operations)\.ts$/.test(
      path,
    )
  expect(found.map(({ path }) => path).filter(path => !isAllowed(path))).toEqual([])
})

test('only main.ts and dev touch the process', () => {
  const found = sources
    .filter(({ text }) => /\bprocess\.(env|exit|on|once|argv|kill)\b/.test(text))
    .map(({ path }) => path)
  expect(found).not.toBeEmpty()
  expect(found.filter(path => path !== 'main.ts' && !path.startsWith('dev/'))).toEqual([])
})

test('what no cache may keep is said in one place', () => {
  const found = sources
    .filter(({ text }) => text.includes("'cache-control': 'no-store'"))
    .map(({ path }) => path)
  expect(found).toEqual(['http/answer.ts'])
})

test('who makes a request is asked in one place, but for streams, which refuse in their own way', () => {
  const found = sources
    .filter(({ path, text }) => /routes\.ts$/.test(path) && /\.identify\(/.test(text))
    .map(({ path }) => path)
  // The dashboard signs in with a token of the body, the demo has no tables to wait for.
  expect(found.toSorted()).toEqual([
    'admin/session-routes.ts',
    'auth/caller-routes.ts',
    'dev/demo-routes.ts',
  ])
})

test('each mistake that the tests plant still has its place in the source: else they prove nothing', async () => {
  for (const edits of [...Object.values(mistakes), ...Object.values(leaks)]) {
    await using copy = await copyWith(edits)
    expect(await Bun.file(join(copy.source, 'main.ts')).exists()).toBe(true)
  }
}, 60_000)
