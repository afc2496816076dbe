import { expect, test } from 'bun:test'
import { Glob } from 'bun'

const sources = await Promise.all(
  [...new Glob('**/*.ts').scanSync('src')].map(async path => ({
    path,
    text: await Bun.file(`src/${path}`).text(),
  })),
)

const importers = (what: RegExp) =>
  sources.filter(({ text }) => what.test(text)).map(({ path }) => path)

test('only src/http imports elysia', () => {
  const found = importers(/from ['"]@?elysia/)
  expect(found).not.toBeEmpty()
  expect(found.filter(path => !path.startsWith('http/'))).toEqual([])
})

test('only src/postgres imports postgres', () => {
  const found = importers(/from ['"]postgres['"]/)
  expect(found).not.toBeEmpty()
  expect(found.filter(path => !path.startsWith('postgres/'))).toEqual([])
})

test('src/http and src/postgres do not know each other', () => {
  expect(importers(/from ['"]\.\.\/postgres\//).filter(path => path.startsWith('http/'))).toEqual(
    [],
  )
  expect(importers(/from ['"]\.\.\/http\//).filter(path => path.startsWith('postgres/'))).toEqual(
    [],
  )
})

test('only main.ts and the embedded Postgres touch the process', () => {
  const found = importers(/\bprocess\.(env|exit|on|once|argv|kill)\b/)
  expect(found.filter(path => !/^(main|postgres\/embedded.*)\.ts$/.test(path))).toEqual(['dev.ts'])
})
