import { expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { parseNatsUrl } from '../../src/lib/nats-url.ts'
import { createNatsRelay } from '../../src/relay/nats-relay.ts'
import { eventually } from '../support/eventually.ts'
import { nats } from '../support/nats.ts'

/** An hour is `RELAY_SOAK_SECONDS=3600`. */
const seconds = Number(process.env.RELAY_SOAK_SECONDS ?? 3)
const restartEverySeconds = Math.min(60, seconds / 2)
const receivers = 8
const perSecond = 500
/** The number of the message, when it was sent, and whether it has to arrive. */
const header = 17

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined }

test(
  `${receivers} receivers miss nothing that is sent while the server is up, and memory stays`,
  async () => {
    await using server = await nats()
    const address = parseNatsUrl(server.url)
    const join = () => createNatsRelay({ address, subject: () => 'kairan.soak', report: quiet })
    const heard = Array.from({ length: receivers }, () => ({ due: 0, late: 0, wrong: 0, last: -1 }))
    const delays: number[] = []
    const receiving = heard.map((counts, index) =>
      join().receive(message => {
        const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
        const number = view.getFloat64(0)
        counts.due += view.getUint8(16)
        if (number <= counts.last) counts.late++
        if (message.at(-1) !== number % 251) counts.wrong++
        counts.last = number
        if (number % 97 === index) delays.push(performance.now() - view.getFloat64(8))
      }),
    )
    const sender = join()
    const own = sender.receive(() => undefined)
    const everyone = [...receiving, own]
    const up = () => eventually(() => everyone.every(({ isUp }) => isUp()))
    await up()

    let number = 0
    let due = 0
    let refused = 0
    const send = async (hasToArrive: boolean) => {
      const message = new Uint8Array(header + (number % 2000) + 1)
      const view = new DataView(message.buffer)
      view.setFloat64(0, number)
      view.setFloat64(8, performance.now())
      view.setUint8(16, hasToArrive ? 1 : 0)
      message[message.length - 1] = number % 251
      number++
      await sender.send(message).then(
        () => {
          if (hasToArrive) due++
        },
        () => refused++,
      )
    }
    const allArrived = () => eventually(() => heard.every(counts => counts.due === due))

    const memory: number[] = []
    const files = readdirSync('/proc/self/fd').length
    const start = performance.now()
    let restarts = 0
    let nextRestart = start + restartEverySeconds * 1000
    for (let at = start; at < start + seconds * 1000; at += 1000 / perSecond) {
      await Bun.sleep(Math.max(0, at - performance.now()))
      await send(true)
      if (performance.now() < nextRestart) continue
      await allArrived()
      memory.push(process.memoryUsage.rss() / 1024 / 1024)
      const killing = server.kill()
      for (let n = 0; n < 50; n++) await send(false)
      await killing
      await server.start()
      await up()
      restarts++
      nextRestart = performance.now() + restartEverySeconds * 1000
      at = Math.max(at, performance.now())
    }
    await allArrived()
    const sorted = delays.toSorted((a, b) => a - b)
    const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(2)
    const growth = (memory.at(-1) ?? 0) - (memory[Math.min(3, memory.length - 1)] ?? 0)
    console.log(
      `${number} messages in ${seconds} s, ${restarts} restarts, ${refused} refused; p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; ` +
        `resident memory ${memory[0]?.toFixed(0)} MiB at first, ${memory.at(-1)?.toFixed(0)} at last`,
    )
    expect(restarts).toBeGreaterThan(0)
    expect(heard.map(({ late, wrong }) => late + wrong)).toEqual(heard.map(() => 0))
    await eventually(() => readdirSync('/proc/self/fd').length <= files)
    expect(growth).toBeLessThan(40)
    await Promise.all(everyone.map(one => one.stop()))
  },
  (seconds + 60) * 1000,
)
