import { createDispatcher } from '../../src/log/dispatcher.ts'
import type { Event } from '../../src/log/event.ts'
import { createLease, type Lease } from '../../src/log/lease.ts'
import { createListener } from '../../src/log/listener.ts'
import type { Outcome, Step } from '../../src/log/step.ts'
import { createDatabase } from '../../src/postgres/database.ts'
import type { TestDatabase } from './database.ts'
import { eventually } from './eventually.ts'

const ignore = () => undefined
const report = { info: ignore, warn: ignore, error: ignore }
/** Nothing breaks because the machine pauses for some seconds. */
const patientMs = 30_000
/** So long that nothing which a test waits for can come from the safety poll. */
const never = 3_600_000

/** The lease of one that never numbers, however long the other one says nothing. */
const noLease: Lease = {
  ...{ isHeld: false, dueMs: never, isDoubtful: false },
  look: async () => undefined,
  resign: async () => undefined,
}

/**
 * A dispatcher and what rings it, and nothing else of the service. Without `pollMs` it never looks by itself, and
 * renews its lease only when it has something to number: another one that does not only follow takes it meanwhile.
 */
export const dispatch = async (
  { url }: TestDatabase,
  { pollMs = never, follows = false }: { pollMs?: number; follows?: boolean } = {},
) => {
  const events: Event[] = []
  const happened: string[] = []
  const outcomes: Outcome[] = []
  let begun = false
  const database = createDatabase(url, {
    max: 1,
    name: 'vigil',
    direct: true,
    deadlineMs: patientMs,
  })
  const held = createLease({
    database,
    instanceId: crypto.randomUUID(),
    report,
    onChange: isHeld => listener.hear('kairan_log', isHeld),
  })
  const lease = follows ? noLease : held
  const steps: Step[] = []
  const dispatcher = createDispatcher({
    database,
    lease,
    pollMs,
    report,
    server: () => ({ server: 'one', cluster: 'one' }),
    onBegin: () => {
      begun = true
    },
    onEvents(found, _, from) {
      events.push(...found)
      for (const { payload } of found) happened.push(`${JSON.parse(payload).n} from ${from}`)
    },
    onExpired: ignore,
    onChange: change => happened.push(`${change.action}`),
    onWithdrawn: told => happened.push(`withdrawn ${told.length}`),
    onWithdrawnLost: () => undefined,
    onChangesLost: ignore,
    onStep: step => steps.push(step),
    onOffer: outcome => outcomes.push(outcome),
  })
  const listener = createListener({
    url,
    channels: [],
    heartbeatMs: 5000,
    timeoutMs: patientMs,
    report,
    judge: () => null,
    onNotify: () => dispatcher.wake(),
    onUp: () => dispatcher.wake(),
    onHear: () => dispatcher.wake(),
  })
  dispatcher.start()
  listener.start()
  await eventually(() => begun && listener.state.listening)
  // Its listener has woken it, and what it finds belongs to the past.
  await dispatcher.look()
  return {
    steps,
    /** What it was told and the events, in order. */
    happened,
    outcomes,
    offer: dispatcher.offer,
    wake: dispatcher.wake,
    /** Takes its only connection: until it is disposed of it reads nothing, and keeps its lease. */
    async freeze() {
      const frozen = Promise.withResolvers<void>()
      const thaw = Promise.withResolvers<void>()
      void database.run(() => {
        frozen.resolve()
        return thaw.promise
      })
      await frozen.promise
      return { [Symbol.dispose]: thaw.resolve }
    },
    leads: () => lease.isHeld,
    numbers: () => events.map(({ payload }) => Number(JSON.parse(payload).n)),
    async [Symbol.asyncDispose]() {
      await listener.stop()
      await dispatcher.stop()
      await database.stop()
    },
  }
}

export const publishMany = ({ sql }: TestDatabase, from: number, to: number) => sql`
  select kairan.publish('all-users', jsonb_build_object('n', n)) from generate_series(${from}::int, ${to}::int) n`
