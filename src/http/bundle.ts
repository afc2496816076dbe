/**
 * A macro: Bun calls it when it compiles the file that imports it, at start or for the binary, and puts the
 * result there. It runs Bun's own command, as a macro may not wait for `Bun.build`. `entry` is relative to
 * this file.
 */
export const bundle = (entry: string): string => {
  const path = Bun.fileURLToPath(new URL(entry, import.meta.url))
  const { exitCode, stdout, stderr } = Bun.spawnSync([
    ...[process.execPath, 'build', path],
    ...['--minify', '--target=browser', '--external=react'],
  ])
  if (exitCode !== 0) throw new Error(`The client could not be bundled: ${stderr}`)
  return stdout.toString()
}
