import { join } from 'node:path'
import { run } from './program.ts'

/** A Python that has this module, and whether to skip its tests. Debian's packages belong to Debian's Python. */
export const pythonWith = async (module: string, debianPackage: string) => {
  for (const python of [process.env.PYTHON, 'python3', '/usr/bin/python3']) {
    if (!python) continue
    const imported = await run([python, '-c', `import ${module}`]).catch(() => null)
    if (imported !== null) return { python, skip: false }
  }
  console.warn(`No ${module}: install ${debianPackage}, or set PYTHON, to test it.`)
  // Never skipped in CI.
  return { python: 'python3', skip: !process.env.CI }
}

/** Calls functions of a recipe by its driver, a program beside this file, each in a process of its own. */
export const callerOf =
  (python: string, driver: string, url: string) =>
  (name: string, ...args: (string | number)[]) =>
    run([python, join(import.meta.dir, driver), url, name, JSON.stringify(args)])
