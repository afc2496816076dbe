/** Builds the package of the browser client: `bun run build:client [folder]`. */
import { copyFile, mkdir, rename, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { license, repository, version } from '../package.json' with { type: 'json' }
import { minify } from '../src/http/minify.ts'
import { placeSources } from './packages/source-map.ts'

const root = join(import.meta.dir, '..')
const target = resolve(process.argv[2] ?? join(root, 'dist/client'))
/** Built here first, so that a failed build leaves no half of a package. */
const folder = `${target}.new`
const entries = ['index', 'inbox', 'react', 'vue', 'svelte', 'element']

const manifest = {
  name: '@kairan/client',
  version,
  description: "Kairan's browser client: notifications over Server-Sent Events.",
  keywords: [
    'notifications',
    'sse',
    'server-sent-events',
    'inbox',
    'bell',
    'react',
    'vue',
    'svelte',
  ],
  license,
  repository,
  type: 'module',
  // It defines `<kairan-bell>`.
  sideEffects: ['./element.js'],
  exports: {
    '.': { types: './index.d.ts', default: './index.js' },
    './inbox': { types: './inbox.d.ts', default: './inbox.js' },
    './vue': { types: './vue.d.ts', default: './vue.js' },
    './svelte': { types: './svelte.d.ts', default: './svelte.js' },
    './element': { types: './element.d.ts', default: './element.js' },
    './react': { types: './react.d.ts', default: './react.js' },
  },
  peerDependencies: { react: '>=18', vue: '>=3.3' },
  peerDependenciesMeta: { react: { optional: true }, vue: { optional: true } },
}

const build = async () => {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const { outputs } = await Bun.build({
    entrypoints: entries.map(entry => join(root, `src/client/${entry}.ts`)),
    target: 'browser',
    minify: true,
    sourcemap: 'external',
    external: ['react', 'vue'],
  })
  for (const output of outputs) {
    if (output.kind !== 'entry-point') continue
    // `output.sourcemap` is not the map when there are several entries (Bun 1.4.5).
    const bundled = outputs.find(({ path }) => path === `${output.path}.map`)
    const { code, map } = await minify(await output.text(), await bundled?.text())
    const path = join(folder, output.path)
    await Bun.write(path, `${code}\n//# sourceMappingURL=${basename(path)}.map\n`)
    // Its paths are relative to where this was started.
    await Bun.write(`${path}.map`, placeSources(map, process.cwd()))
  }
  await writeTypes()
  await Bun.write(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  await copyFile(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  await copyFile(join(root, 'scripts/packages/client.md'), join(folder, 'README.md'))
  await rm(target, { recursive: true, force: true })
  await rename(folder, target)
}

/** Writes the type declarations of the entries, and those of the types that they use. */
const writeTypes = async () => {
  const declared = join(folder, 'declared')
  const tsc = Bun.spawn(
    [
      join(root, 'node_modules/.bin/tsc'),
      '-p',
      'scripts/client.tsconfig.json',
      '--outDir',
      declared,
    ],
    { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
  )
  if ((await tsc.exited) !== 0) throw new Error('The types could not be written')
  for (const name of [...entries, 'bell-words', 'inbox-types', 'types']) {
    const text = await Bun.file(join(declared, `${name}.d.ts`)).text()
    // The declarations import each other as .js files, as Node and TypeScript resolve them.
    await Bun.write(join(folder, `${name}.d.ts`), text.replaceAll(".ts';", ".js';"))
  }
  await rm(declared, { recursive: true })
}

try {
  await build()
  console.log(`The package is in ${target}`)
} finally {
  await rm(folder, { recursive: true, force: true })
}
