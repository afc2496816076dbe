import { expect, test } from 'bun:test'
import { createListener } from '../../src/log/listener.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

test('a listener does not give up its session because this process stood still', async () => {
  await using db = await database({ empty: true })
  const problems: unknown[] = []
  let probes = 0
  const listener = createListener({
    url: db.url,
    channels: [],
    heartbeatMs: 1,
    timeoutMs: 300,
    report: {
      info: () => undefined,
      warn: facts => void problems.push(facts),
      error: () => undefined,
    },
    judge: () => null,
    onNotify: () => undefined,
    onUp: () => undefined,
    onClock: () => void probes++,
  })
  listener.start()
  try {
    for (let pause = 0; pause < 6; pause++) {
      const before = probes
      // With a heartbeat each millisecond, an answer is on its way most of the time.
      await eventually(() => listener.state.listening && probes > before)
      Bun.sleepSync(700)
    }
    const before = probes
    await eventually(() => probes > before)
    expect(problems).toEqual([])
  } finally {
    await listener.stop()
  }
})
