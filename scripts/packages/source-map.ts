import { join, relative } from 'node:path'

const root = join(import.meta.dir, '../..')

/** A source map that names its sources by their paths in the checkout, wherever it was built. */
export const placeSources = (text: string, folder: string) => {
  const map: { sources: string[] } = JSON.parse(text)
  const sources = map.sources.map(source => relative(root, join(folder, source)))
  return JSON.stringify({ ...map, sources })
}
