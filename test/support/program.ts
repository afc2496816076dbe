/** Runs a program to its end. Resolves with its stdout; rejects with its stderr when it fails. */
export const run = async (
  command: string[],
  options: { input?: string; cwd?: string; env?: Record<string, string> } = {},
) => {
  const program = Bun.spawn(command, {
    stdin: options.input === undefined ? 'ignore' : new Blob([options.input]),
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const [printed, complaint] = await Promise.all([
    new Response(program.stdout).text(),
    new Response(program.stderr).text(),
  ])
  if ((await program.exited) !== 0) throw new Error(complaint)
  return printed.trim()
}
