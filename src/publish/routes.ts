import { Elysia } from 'elysia'
import type { CallerPlugin } from '../auth/caller-routes.ts'
import { type Identity, mayPublish, requireScope } from '../auth/identity.ts'
import { answer } from '../http/answer.ts'
import { mediaTypeOf, parseJson, readText, unsupportedMediaType } from '../http/body.ts'
import { problemOf } from '../http/problem.ts'
import { parseFields } from '../http/query.ts'
import { KairanError } from '../lib/errors.ts'
import { limits } from '../lib/limits.ts'
import { createRate } from '../lib/rate-limit.ts'
import type { Turns } from '../lib/turns.ts'
import type { Traces } from '../observe/traces.ts'
import { requireFewDigits } from './digits.ts'
import {
  type Publication,
  type Publish,
  type Published,
  readFormRequest,
  readJsonRequest,
} from './request.ts'
import { publishOperations } from './schema.ts'

/**
 * `POST /notifications`: publishes one notification, or a batch with a result for each. SQL checks payloads and
 * channels, as it does for notifications that are published there.
 */
export const publishRoute = (options: {
  caller: CallerPlugin
  publish: Publish
  /** Notifications a second for each user. */
  publishRate: number
  traces: Traces
  /** Limits how many requests of a user publish at a time. */
  turns: Turns
  maxEventBytes: number
}) => {
  const rate = createRate({
    perSecond: options.publishRate,
    // A batch has to fit, even if the rate is low.
    burst: Math.max(options.publishRate, limits.batch),
    what: 'notifications',
  })
  // Enough for the largest payload with escaped characters, and for a batch of ordinary payloads.
  const maxBytes = Math.max(1024 * 1024, options.maxEventBytes * 2)
  return new Elysia({ name: 'publish' }).use(options.caller).post(
    '/notifications',
    async ({ caller, request }) => {
      requireScope(caller)
      const { isBatch, items, body } = await readRequest(request, maxBytes)
      rate(caller.userId, items.length)
      requireFewDigits(body, items.length * options.maxEventBytes)
      const allowed = items.map(item => allow(item, caller))
      const span = options.traces.publishing(request.headers.get('traceparent'))
      const publish: PublishSome = good =>
        options.turns.run(caller.userId, () =>
          options.publish(good, body, caller.userId, span.traceparent),
        )
      const results = await publishAll(allowed, publish).catch(error => {
        span.end(error)
        throw error
      })
      span.end()
      if (isBatch) return answer({ results: results.map(resultOf) })
      const [result] = results
      if (!result || result instanceof KairanError) throw result
      return answer({ id: result.id }, { status: statusOf(result) })
    },
    // Its rate counts notifications, which are known later.
    {
      caller: { rate: null },
      parse: 'none',
      detail: publishOperations['POST /notifications'].detail,
    },
  )
}

const readRequest = async (request: Request, maxBytes: number) => {
  const text = await readText(request, maxBytes)
  const key = idempotencyKeyOf(request)
  switch (mediaTypeOf(request)) {
    case 'application/json':
      return readJsonRequest(parseJson(text), text, key)
    case 'application/x-www-form-urlencoded':
      return readFormRequest(parseFields(text), key)
    default:
      throw unsupportedMediaType('application/json or application/x-www-form-urlencoded')
  }
}

/** The key, with or without the quotes that the draft standard requires. */
const idempotencyKeyOf = (request: Request) => {
  const value = request.headers.get('idempotency-key')
  if (value === null) return null
  return /^"(.*)"$/.exec(value)?.[1] ?? value
}

const allow = (item: Publication | KairanError, identity: Identity) => {
  if (item instanceof KairanError) return item
  const forbidden = item.channels.find(channel => !mayPublish(identity, channel))
  return forbidden === undefined
    ? item
    : new KairanError(
        'channel_forbidden',
        `The token may not publish on "${forbidden.slice(0, 250)}". It may publish on ${identity.publishes.join(', ').slice(0, 1000)}.`,
      )
}

type PublishSome = (publications: Publication[]) => ReturnType<Publish>

/** Publishes the allowed notifications. Returns the results in the order of the items. */
const publishAll = async (
  items: (Publication | KairanError)[],
  publish: PublishSome,
): Promise<(Published | KairanError)[]> => {
  const good = items.filter(isPublication)
  const results = good.length > 0 ? await publish(good) : []
  const next = results.values()
  return items.map(item => {
    if (item instanceof KairanError) return item
    const { value } = next.next()
    if (value) return value
    throw new Error('A publication has no result')
  })
}

const isPublication = (item: Publication | KairanError): item is Publication =>
  !(item instanceof KairanError)

const statusOf = ({ repeated }: Published) => (repeated ? 200 : 201)

const resultOf = (result: Published | KairanError) =>
  result instanceof KairanError ? problemOf(result) : { status: statusOf(result), id: result.id }
