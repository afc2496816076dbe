import { expect, test } from 'bun:test'
import { createRandom } from '../faults/random.ts'
import { eventually } from '../support/eventually.ts'
import { honestRelay, type Lie, lies, lyingRelay } from '../support/lying-relay.ts'

const arrives: Record<Lie, (heard: string[], sent: string) => boolean> = {
  drop: heard => heard.length === 0,
  repeat: (heard, sent) => heard.length === 3 && heard.every(text => text === sent),
  delay: (heard, sent) => heard.length === 1 && heard[0] === sent,
  corrupt: (heard, sent) => heard[0]?.length === sent.length && heard[0] !== sent,
  truncate: (heard, sent) => heard.length === 1 && (heard[0]?.length ?? 99) < sent.length,
  old: (heard, sent) => heard.length === 2 && heard[1] === sent,
  forge: heard => heard[0] === 'forged',
}

for (const lie of lies) {
  test(`a lying relay can ${lie}`, async () => {
    const relay = lyingRelay(honestRelay(), {
      share: 1,
      only: [lie],
      random: createRandom(7).next,
      forge: () => Buffer.from('forged'),
    })
    const heard: string[] = []
    const receiving = relay.receive(message => heard.push(Buffer.from(message).toString('latin1')))
    await relay.send(Buffer.from('a message'))
    await eventually(() => arrives[lie](heard, 'a message'))
    expect(relay.lies.told[lie]).toBe(1)
    await receiving.stop()
  })
}
