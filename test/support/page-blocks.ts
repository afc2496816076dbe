import { join, relative } from 'node:path'
import { Glob } from 'bun'
import { pages } from '../../docs/embed.ts'

/** A block of code on a page. `at` says where: `docs/inbox.md:62`. */
export type Block = { at: string; page: string; language: string; text: string }

const root = join(import.meta.dir, '../..')

/** The blocks of all pages that are written on the page itself, and not copied from a file that another test runs. */
export const pageBlocks = async (...languages: string[]): Promise<Block[]> => {
  const others = ['*.md', 'examples/**/*.md', 'scripts/**/*.md'].flatMap(pattern => [
    ...new Glob(pattern).scanSync(root),
  ])
  const paths = [...pages().map(page => relative(root, page)), ...others].filter(
    path => !path.includes('node_modules'),
  )
  const found = await Promise.all(
    [...new Set(paths)].toSorted().map(async page => {
      const text = await Bun.file(join(root, page)).text()
      const blocks = text.matchAll(/(<!-- file: .*-->\n)?^ *```(\w+)\n([\s\S]*?)^ *```$/gm)
      return [...blocks].flatMap(({ 1: file, 2: language = '', 3: code = '', index }) =>
        file === undefined && languages.includes(language)
          ? { at: `${page}:${text.slice(0, index).split('\n').length}`, page, language, text: code }
          : [],
      )
    }),
  )
  return found.flat()
}
