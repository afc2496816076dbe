/**
 * Puts files into the pages that show them: `bun docs/embed.ts`. A page says `<!-- file: psql/remind.sql -->` and
 * what stands in the code block behind it becomes that file, which is what the tests run.
 */
import { basename, dirname, extname, join } from 'node:path'
import { Glob } from 'bun'

/** A page with its files as they are now. Rejects when one is missing. */
export const embed = async (page: string) => {
  const text = await Bun.file(page).text()
  let result = ''
  let rest = 0
  for (const match of text.matchAll(block)) {
    const [all, marker = '', name = ''] = match
    const file = Bun.file(join(dirname(page), name))
    const suffix = extname(name).slice(1) || basename(name)
    const fence = `${marker}\n\`\`\`${languages[suffix] ?? suffix}\n${await file.text()}\`\`\``
    result += text.slice(rest, match.index) + fence
    rest = match.index + all.length
  }
  return result + text.slice(rest)
}

/** All pages of this folder. */
export const pages = () =>
  [...new Glob('**/*.md').scanSync(import.meta.dir)]
    .filter(path => !path.includes('node_modules/'))
    .map(path => join(import.meta.dir, path))
    .sort()

/** What a code block's language is called, where it is not the file's suffix. */
const languages: Record<string, string> = {
  ...{ py: 'python', mjs: 'js', rb: 'ruby' },
  ...{ conf: 'nginx', cfg: 'haproxy', Caddyfile: 'caddyfile', service: 'ini' },
}

const block = /(<!-- file: (\S+) -->)\n```\w+\n[\s\S]*?```(?=\n|$)/g

if (import.meta.main) {
  for (const page of pages()) await Bun.write(page, await embed(page))
}
