import { expect, test } from 'bun:test'
import { createPost } from '../../src/follow-up/webhook.ts'
import { receiver } from '../support/receiver.ts'

const message = { id: 'followup_1', body: '{"data":{}}' }

const poster = (url: string, timeoutMs = 20_000) =>
  createPost({ url, secrets: [`whsec_${btoa('x'.repeat(32))}`], timeoutMs, version: '1' })

const post = (url: string, timeoutMs?: number) =>
  poster(url, timeoutMs)(message, new AbortController().signal)

test('a receiver that does not answer in time has failed; one that does not end its answer has not', async () => {
  await using hook = await receiver()
  hook.state.answer = () => undefined
  expect(await post(hook.url, 200)).toMatchObject({
    sent: false,
    reason: 'no answer within 0.2 s',
  })
  // Its status has to come in time, so a machine that pauses gets more of it.
  hook.state.answer = (_, response) => response.writeHead(200).write('x')
  const withinMs = [2000, 8000]
  let outcome = await post(hook.url, withinMs[0])
  if (!outcome.sent) outcome = await post(hook.url, withinMs[1])
  expect(outcome).toEqual({ sent: true })
})

test('Retry-After is read as seconds and as a date, and has a limit', async () => {
  await using hook = await receiver()
  const delayOf = async (value: string) => {
    hook.state.answer = (_, response) => response.writeHead(429, { 'retry-after': value }).end()
    const outcome = await post(hook.url)
    return outcome.sent ? 0 : outcome.retryAfterMs
  }
  expect(await delayOf('7')).toBe(7000)
  expect(await delayOf('99999999999')).toBe(12 * 3_600_000)
  expect(await delayOf('soon')).toBeNull()
  expect(await delayOf(new Date(Date.now() - 60_000).toUTCString())).toBe(0)
  const date = (await delayOf(new Date(Date.now() + 60_000).toUTCString())) ?? 0
  expect(date).toBeGreaterThan(50_000)
  expect(date).toBeLessThan(61_000)
})

test('it can be stopped', async () => {
  await using hook = await receiver()
  const controller = new AbortController()
  hook.state.answer = () => controller.abort()
  expect(await poster(hook.url)(message, controller.signal)).toMatchObject({ sent: false })
})
