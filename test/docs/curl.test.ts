/** The curl lines on the pages, run as they stand against a service. */
import { expect, test } from 'bun:test'
import { join, relative } from 'node:path'
import { pages } from '../../docs/embed.ts'
import { publishScope } from '../../src/auth/identity.ts'
import { database } from '../support/database.ts'
import { tokenWith } from '../support/publish.ts'
import { serve } from '../support/service.ts'

const root = join(import.meta.dir, '../..')
const all = [...pages(), join(root, 'README.md'), join(root, 'README.ja.md')]

/** The indented blocks that begin with curl: the command, without the answer that is shown below it. */
const commandsOf = (text: string) =>
  [...text.matchAll(/^ {4}(?:\$ )?(curl (?:.*\\\n)*.*)$/gm)].map(([, command = '']) => command)

test('each curl line on the pages is answered with success', async () => {
  await using db = await database()
  await using service = await serve(db)
  const TOKEN = await tokenWith({ sub: '42', scope: publishScope })
  const seen: string[] = []
  for (const page of all) {
    for (const command of commandsOf(await Bun.file(page).text())) {
      const line = command
        .replaceAll('http://127.0.0.1:3000', service.url)
        .replace('curl ', 'exec curl -sS --fail --max-time 30 ')
      const shell = Bun.spawn(['sh', '-c', line], {
        env: { ...process.env, TOKEN },
        stdout: 'pipe',
        stderr: 'pipe',
      })
      const isStream = command.includes('/stream')
      const expected = isStream ? 'event: ping\ndata: connected\n' : '"'
      let output = ''
      for await (const bytes of shell.stdout) {
        output += new TextDecoder().decode(bytes)
        // A stream does not end by itself.
        if (isStream && output.includes(expected)) shell.kill()
      }
      const errors = await new Response(shell.stderr).text()
      expect({ page: relative(root, page), command, errors }).toMatchObject({ errors: '' })
      expect(output).toContain(expected)
      seen.push(command)
    }
  }
  expect(seen.length).toBeGreaterThan(4)
})
