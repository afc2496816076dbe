/** What a route reads is written once as a schema, and once as a reader with its messages: they agree. */
import { expect, test } from 'bun:test'
import Ajv2020 from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { readChannels } from '../../src/auth/tickets-routes.ts'
import { readConfig } from '../../src/config.ts'
import { described } from '../../src/described.ts'
import {
  readArchive,
  readInboxChange,
  readPreferences,
  readReceipt,
  readSeen,
} from '../../src/inbox/request.ts'
import { createInstance } from '../../src/instance.ts'
import { KairanError } from '../../src/lib/errors.ts'
import { isObject } from '../../src/lib/json.ts'
import { createJsonLogger } from '../../src/observe/logger.ts'
import { readJsonRequest } from '../../src/publish/request.ts'
import { readChange } from '../../src/stream/channel-routes.ts'
import { description } from '../support/description.ts'

const id = '0190b7a6-6d3e-7c3a-9f0e-1d2c3b4a5f60'
const time = '2030-01-31T12:00:00Z'

type Body = Record<string, unknown>

/** What only SQL checks, as it does for what is published there. */
const isForSql = (route: string, body: Body): boolean => {
  const { notifications, channel, channels, payload, type, dedupeKey } = body
  if (route !== 'POST /notifications') return false
  if (Array.isArray(notifications)) {
    return notifications.some(item => isObject(item) && isForSql(route, item))
  }
  const names = channel ?? channels
  const isPlain = [names].flat().every(name => typeof name === 'string' && /^[^\s,*]+$/.test(name))
  return (
    !isPlain || [names].flat().length === 0 || !isObject(payload) || type === '' || dedupeKey === ''
  )
}

/** Bodies that are good, and the reader of each route. */
const readers: Record<string, { read(body: Body): unknown; good: Body[] }> = {
  'POST /notifications': {
    read(body) {
      const { items } = readJsonRequest(body, JSON.stringify(body), null)
      const wrong = items.find(item => item instanceof KairanError)
      if (wrong) throw wrong
    },
    good: [
      { channel: 'user-1', payload: {} },
      { channels: ['user-1', 'org-7'], payload: { n: 1 }, type: 'a', dedupeKey: 'k' },
      { channel: 'user-1', payload: {}, expiresAt: time, sendAt: time, followUpAfter: '5m' },
      { notifications: [{ channel: 'user-1', payload: {} }] },
    ],
  },
  'POST /notifications/read': {
    read: readInboxChange,
    good: [{ ids: [id] }, { ids: [], read: false }, { upTo: 'c2d20b55-17' }, { all: true }],
  },
  'POST /notifications/seen': { read: readSeen, good: [{ upTo: 'c2d20b55-17' }] },
  'POST /notifications/archive': {
    read: readArchive,
    good: [{ ids: [id] }, { ids: [id], archived: false }],
  },
  'PUT /notifications/preferences': {
    read: readPreferences,
    good: [
      { mute: [] },
      { mute: [{ type: 'news.*' }, { type: 'order.shipped', until: time }] },
      { mute: [{ channel: 'org-7', until: time }] },
    ],
  },
  'POST /notifications/receipts': { read: readReceipt, good: [{ ids: [id] }, { ids: [] }] },
  'POST /notifications/tickets': { read: readChannels, good: [{}, { channels: ['user-1'] }] },
  'POST /notifications/stream/:streamId/channels': {
    read: body => readChange(body, 1000),
    good: [{}, { add: ['org-7'], remove: ['org-8'] }, { add: [] }],
  },
}

const values = [null, true, false, 0, 1.5, '', 'text', id, time, [], [id], ['a', 'a'], [7], {}]

/** A good body, with one member changed, removed or added, at any depth. */
const changesOf = (body: Body): Body[] => [
  body,
  { ...body, other: 1 },
  ...Object.keys(body).flatMap(name => {
    const { [name]: value, ...rest } = body
    const inner = Array.isArray(value)
      ? value.flatMap((item, n) =>
          (isObject(item) ? changesOf(item) : values).map(changed => ({
            ...body,
            [name]: value.with(n, changed),
          })),
        )
      : []
    return [rest, ...values.map(other => ({ ...body, [name]: other })), ...inner]
  }),
]

const ajv = formats(new Ajv2020({ strict: false }))
ajv.addSchema(description(), 'openapi')

const validatorOf = (route: string) => {
  const [method = '', path = ''] = route.split(' ')
  const place = path.replace(/:(\w+)/g, '{$1}').replaceAll('/', '~1')
  return ajv.compile({
    $ref: `openapi#/paths/${encodeURIComponent(place)}/${method.toLowerCase()}/requestBody/content/application~1json/schema`,
  })
}

test('every operation is the detail of its route', () => {
  const { app } = createInstance(
    readConfig({
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
      JWT_SECRET: 'q7Jw0u4mXb1Zr8Tn5Kc2Vd9Lf6Hg3Ay-',
    }),
    createJsonLogger({ level: 'silent', base: {} }),
    { host: null },
  )
  const routes = app.routes.flatMap(({ method, path, hooks }) =>
    hooks?.detail?.operationId ? [[`${method} ${path}`, hooks.detail.operationId]] : [],
  )
  const operations = Object.entries(described).map(([route, { detail }]) => [
    route,
    detail.operationId,
  ])
  expect(routes.toSorted()).toEqual(operations.toSorted())
})

test('every route that reads a body is compared', () => {
  const reading = Object.entries(described).filter(([, { detail }]) => 'requestBody' in detail)
  expect(reading.map(([route]) => route).toSorted()).toEqual(Object.keys(readers).toSorted())
})

for (const [route, { read, good }] of Object.entries(readers)) {
  test(`the reader of ${route} takes what its schema allows, and nothing else`, () => {
    const isValid = validatorOf(route)
    const isRead = (body: Body) => {
      try {
        read(body)
        return true
      } catch (error) {
        if (error instanceof KairanError) return false
        throw error
      }
    }
    expect(good.filter(body => !isValid(body) || !isRead(body))).toEqual([])
    const bodies = good.flatMap(changesOf)
    expect(bodies.filter(body => isValid(body) && !isRead(body))).toEqual([])
    const loose = bodies.filter(body => !isValid(body) && isRead(body))
    expect(loose.filter(body => !isForSql(route, body))).toEqual([])
    expect(bodies.filter(body => !isValid(body)).length).toBeGreaterThan(10)
  })
}
