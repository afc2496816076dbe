/** Tries to install Debian packages, if there is apt-get and this process is root. The caller checks the result. */
export const install = async (...packages: string[]) => {
  if (!Bun.which('apt-get') || process.getuid?.() !== 0) return
  const run = (...command: string[]) =>
    Bun.spawn(command, {
      stdio: ['ignore', 'ignore', 'ignore'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).exited
  await run('apt-get', 'update', '-qq')
  await run('apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...packages)
}
