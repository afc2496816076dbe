/** The Dockerfile builds, from what .dockerignore lets through, and the image serves. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { engines, version } from '../../package.json'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, pidOf } from '../support/image.ts'
import { freePort } from '../support/port.ts'
import { isReady } from '../support/process.ts'
import { secret } from '../support/service.ts'

test('the Dockerfile builds with the Bun of package.json, and what it copies is in the context', async () => {
  const folder = join(import.meta.dir, '../..')
  const dockerfile = await Bun.file(`${folder}/Dockerfile`).text()
  expect(dockerfile).toContain(`FROM oven/bun:${engines.bun}-slim `)
  const ignore = (await Bun.file(`${folder}/.dockerignore`).text()).split('\n')
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names = '']) =>
    names.split(' '),
  )
  expect(copied).toContain('src')
  expect(copied.filter(name => !ignore.includes(`!${name}`))).toEqual([])
})

const canBuild = Bun.which('buildah') !== null && process.getuid?.() === 0

describe.skipIf(!canBuild && !process.env.CI)('the image', () => {
  test('holds one binary, which serves as nobody, is healthy and drains', async () => {
    await using db = await database()
    await using image = await buildImage()
    expect(image.files).toEqual(['usr/local/bin/kairan'])
    expect(image.config).toMatchObject({
      User: '65532:65532',
      Entrypoint: ['/usr/local/bin/kairan'],
      Cmd: ['start'],
      StopSignal: 'SIGTERM',
    })
    expect(image.config.Env).toContain('HOST=0.0.0.0')

    const kairan = '/usr/local/bin/kairan'
    expect(await new Response(image.spawn([kairan, 'version'], {}).stdout).text()).toBe(
      `${version}\n`,
    )
    const port = await freePort()
    const env = {
      ...{ HOST: '127.0.0.1', PORT: String(port), DRAIN_MS: '100' },
      ...{ DATABASE_URL: db.url, JWT_SECRET: secret },
    }
    // chroot is no container: it has this machine's network, and its own root and user.
    const service = image.spawn([kairan, 'start'], env)
    await eventually(() => isReady(`http://127.0.0.1:${port}`))
    expect(await image.spawn([kairan, 'healthcheck'], env).exited).toBe(0)
    const pid = await pidOf(`PORT=${port}`)
    expect(await Bun.file(`/proc/${pid}/status`).text()).toMatch(/^Uid:\t65532\t65532/m)
    process.kill(pid ?? 0, 'SIGTERM')
    expect(await service.exited).toBe(0)
    expect(await image.spawn([kairan, 'healthcheck'], env).exited).toBe(1)
  }, 300_000)
})
