import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Event } from '../../src/log/event.ts'
import type { Step } from '../../src/log/step.ts'
import { decode, encode, isStep } from '../../src/relay/message.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null })

const event = fc.record<Omit<Event, 'seq'>>({
  id: fc.uuid(),
  channel: text,
  type: orNull(text),
  createdAt: text,
  expiresAt: orNull(fc.integer()),
  payload: fc.string({ maxLength: 300 }),
  metadata: orNull(text),
  traceparent: orNull(text),
})

const step: fc.Arbitrary<Step> = fc
  .record({
    events: fc.array(event, { maxLength: 30 }),
    told: fc.array(fc.record({ xid: fc.bigInt(0n, 2n ** 63n), change: text }), { maxLength: 3 }),
    prev: fc.nat(),
  })
  .map(({ events, told, prev }) => ({
    server: 'a server',
    epoch: 'an epoch',
    prev,
    to: prev + events.length * 2 + 1,
    events: events.map((one, index) => ({ ...one, seq: prev + index * 2 + 1 })),
    told: { since: '5:5:', now: '5:9:6,7', told },
  }))

const read = (parts: Uint8Array[]) =>
  parts.map(part => {
    const message = decode(part)
    if (!message || !isStep(message)) throw new Error('It is no step')
    return message
  })

test('a step is read as it was written, in as many messages as it takes', () => {
  fc.assert(
    fc.property(step, fc.integer({ min: 1000, max: 5000 }), (written, most) => {
      const parts = encode(written, most, 1000)
      const whole = parts.length > 1 || isStep(decode(parts[0] ?? new Uint8Array()) ?? { ...none })
      if (!whole) return expect(encode(written, 1e6, 1)[0]?.length).toBeGreaterThan(most)
      const steps = read(parts)
      expect(parts.every(({ length }) => length <= most)).toBe(true)
      expect(steps.flatMap(({ events }) => events)).toEqual([...written.events])
      expect(steps.flatMap(({ told }) => told?.told ?? [])).toEqual([...(written.told?.told ?? [])])
      // They follow each other, and each begins with what was told before the one before it.
      const edges = [written.prev, ...steps.map(({ to }) => to)]
      expect(steps.map(({ prev }) => prev)).toEqual(edges.slice(0, -1))
      expect(edges.at(-1)).toBe(written.to)
      expect(steps.slice(1).every(({ told }) => told?.since === written.told?.now)).toBe(true)
    }),
  )
})

const none = { server: '', epoch: '', head: 0 }

test('a step that would take too many messages says only how far it goes', () => {
  fc.assert(
    fc.property(step, written => {
      for (const part of encode(written, 300, 2)) {
        const message = decode(part)
        if (message && !isStep(message)) expect(message.head).toBe(written.to)
        expect(message).not.toBeNull()
      }
    }),
  )
})

test('whatever else arrives is nothing, and no step is read that could not have been written', () => {
  const json = fc.oneof(fc.json(), fc.string(), step.map(String))
  const change = fc.record({
    key: fc.constantFrom('prev', 'to', 'events', 'told', 'epoch', 'server'),
  })
  fc.assert(
    fc.property(json, text => {
      const message = decode(Buffer.from(text))
      if (message !== null) expect(Object.keys(message)).toContain('epoch')
    }),
  )
  fc.assert(
    fc.property(step, change, fc.anything(), (written, { key }, value) => {
      const [part] = encode(written, 1e6, 1)
      const spoilt = { ...JSON.parse(Buffer.from(part ?? []).toString()), [key]: value }
      const message = decode(Buffer.from(JSON.stringify(spoilt, jsonable) ?? ''))
      if (!message || !isStep(message)) return
      expect(message.prev).toBeLessThan(message.to)
      for (const { seq } of message.events) {
        expect(seq).toBeGreaterThan(message.prev)
        expect(seq).toBeLessThanOrEqual(message.to)
      }
    }),
  )
})

const jsonable = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
