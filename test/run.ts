/**
 * Runs the tests on a real Postgres: that of TEST_DATABASE_URL, or one that it starts and removes.
 * What is on the command line goes to `bun test`. The last line is "N passed, N failed".
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbedded } from '../src/dev/postgres/embedded.ts'

const run = async (testDatabaseUrl: string) => {
  const tests = Bun.spawn(
    [process.execPath, 'test', '--timeout', '60000', ...process.argv.slice(2)],
    {
      env: { ...process.env, TEST_DATABASE_URL: testDatabaseUrl },
      stdout: 'inherit',
      stderr: 'pipe',
    },
  )
  let passed = 0
  let failed = 0
  let skipped = 0
  let partial = ''
  const decoder = new TextDecoder()
  for await (const bytes of tests.stderr) {
    process.stderr.write(bytes)
    const lines = (partial + decoder.decode(bytes, { stream: true })).split('\n')
    partial = lines.pop() ?? ''
    for (const line of lines) {
      const [, count, word] = /^ *(\d+) (pass|fail|skip|todo)$/.exec(stripAnsi(line)) ?? []
      if (word === 'pass') passed += Number(count)
      if (word === 'fail') failed += Number(count)
      if (word === 'skip' || word === 'todo') skipped += Number(count)
    }
  }
  const code = await tests.exited
  // A crash, or a file that could not be loaded, is a failure even if nothing was counted.
  if (code !== 0 && failed === 0) failed = 1
  return { passed, failed, skipped }
}

const stripAnsi = (line: string) => Bun.stripANSI(line)

const runEmbedded = async () => {
  const directory = await mkdtemp(join(tmpdir(), 'kairan-test-'))
  // As root, the server's user has to enter it.
  await chmod(directory, 0o755)
  const server = await startEmbedded({
    directory,
    durable: false,
    settings: { max_connections: '300' },
  })
  try {
    return await run(server.url)
  } finally {
    await server.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

const { TEST_DATABASE_URL } = process.env
const { passed, failed, skipped } = TEST_DATABASE_URL
  ? await run(TEST_DATABASE_URL)
  : await runEmbedded()
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
