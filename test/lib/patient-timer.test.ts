import { expect, test } from 'bun:test'
import { connect } from 'node:net'
import { afterListening } from '../../src/lib/patient-timer.ts'
import { eventually } from '../support/eventually.ts'

test('an answer that came while the process stood still is no late one', async () => {
  using server = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: { open: socket => void socket.write('hello'), data: () => undefined },
  })
  const said: string[] = []
  const end = afterListening(200, () => said.push('late'))
  const socket = connect(server.port, '127.0.0.1')
  socket.on('data', () => {
    end()
    said.push('answer')
  })
  Bun.sleepSync(700)
  await eventually(() => said.length > 0)
  socket.destroy()
  expect(said).toEqual(['answer'])
})

test('calls when nothing has come in the whole time, and not after its end', async () => {
  const said: string[] = []
  const begun = performance.now()
  const end = afterListening(100, () => said.push('ended'))
  afterListening(200, () => said.push('late'))
  end()
  await eventually(() => said.length > 0)
  expect(performance.now() - begun).toBeGreaterThan(199)
  expect(said).toEqual(['late'])
})
