/**
 * What do mutes cost those who get an event? One event at a time goes to 1,000 streams of one channel, of which none, 10
 * or all have muted another type, another beginning of types and another channel. This measures the hub alone; on the
 * way to a browser the rest costs several times as much.
 */
import { mutesOf } from '../src/auth/mutes.ts'
import type { Event } from '../src/log/event.ts'
import { createHub } from '../src/stream/hub.ts'
import { median, printTable } from './support/table.ts'

const streams = 1000
const events = 100
const rounds = 101

const facts = (userId: string) => ({
  userId,
  asked: undefined,
  also: undefined,
  subscribes: [],
  expiresAt: Date.now() / 1000 + 3600,
  endsAt: Date.now() + 3_600_000,
  address: null,
  proof: null,
  isFirst: false,
})

const hub = createHub({ queueBytes: 1 << 20, recentEvents: 1, recentBytes: 1000 })
hub.begin('a', 0)
const subscriptions = Array.from({ length: streams }, (_, n) => {
  const subscription = hub.subscribe(facts(`${n}`), ['all-users', `user-${n}`], 0)
  hub.tryGoLive(subscription)
  return subscription
})

/** Lets so many of the streams mute something else. The same streams for all, as each hub has a speed of its own. */
const muteSome = (count: number) => {
  for (const [n, subscription] of subscriptions.entries()) {
    const mutes = [
      { type: `sale.${n}`, channel: null, until: null },
      { type: `news.${n % 7}.*`, channel: null, until: null },
      { type: null, channel: `org-${n}`, until: null },
    ]
    hub.mute(subscription, n < count ? mutesOf(mutes) : null)
  }
}

let seq = 0
const eventOf = (): Event => {
  seq++
  return {
    seq,
    id: `${seq}`,
    channel: 'all-users',
    type: 'order.shipped',
    createdAt: '2030-01-01T00:00:00.000Z',
    expiresAt: null,
    payload: '{"text":"x"}',
    metadata: null,
  }
}

const pushesPerSecond = () => {
  const list = Array.from({ length: events }, eventOf)
  const start = performance.now()
  hub.dispatch(list, seq)
  const seconds = (performance.now() - start) / 1000
  let taken = 0
  for (const subscription of subscriptions) taken += subscription.take(1 << 20).length
  if (taken !== events * streams) throw new Error(`${taken} events were taken`)
  return (events * streams) / seconds
}

const kinds = [0, 10, streams].map(muting => ({ muting, found: [] as number[] }))
for (let round = 0; round < rounds; round++) {
  for (const { muting, found } of kinds) {
    muteSome(muting)
    for (let again = 0; again < 3; again++) pushesPerSecond()
    const perSecond = pushesPerSecond()
    if (round > rounds / 10) found.push(perSecond)
  }
}

const [none] = kinds
console.log(`Pushes a second to ${streams} streams, of which some mute something else`)
printTable(
  ['mute', 'pushes/s', 'of none'],
  kinds.map(({ muting, found }) => [
    `${muting}`,
    Math.round(median(found)).toLocaleString('en'),
    (median(found) / median(none?.found ?? [])).toFixed(2),
  ]),
)
