/**
 * A macro that bundles a file for browsers. Bun calls it while it compiles the importing file, at start or for the
 * binary, and inserts the result. It runs the command `bun build`, because a macro may not await `Bun.build`. `entry`
 * is relative to this file.
 */
export const bundle = (entry: string): string => {
  const path = Bun.fileURLToPath(new URL(entry, import.meta.url))
  const { exitCode, stdout, stderr } = Bun.spawnSync([
    ...[process.execPath, 'build', path],
    ...['--minify', '--target=browser', '--external=react', '--external=vue'],
  ])
  if (exitCode !== 0) throw new Error(`The client could not be bundled: ${stderr}`)
  return stdout.toString()
}
