import { expect, test } from 'bun:test'
import { SMTPServer } from 'smtp-server'
import { createMailer } from '../../docs/recipes/email.ts'
import { sendFollowUps } from '../../docs/recipes/follow-ups.ts'
import { eventually } from '../support/eventually.ts'
import { followedShop } from '../support/follower.ts'

/** A mail server on loopback. It refuses bad@…, and is busy for busy@… once. */
const mailServer = async () => {
  const mails: string[] = []
  let wasBusy = false
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onRcptTo({ address }, _, done) {
      const refuse = (responseCode: number) =>
        done(Object.assign(new Error('No'), { responseCode }))
      if (address.startsWith('bad@')) return refuse(550)
      if (address.startsWith('busy@') && !wasBusy) {
        wasBusy = true
        return refuse(451)
      }
      done()
    },
    onData(stream, _, done) {
      let text = ''
      stream.on('data', bytes => {
        text += bytes
      })
      stream.on('end', () => {
        mails.push(text)
        done()
      })
    },
  })
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
  const address = server.server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return {
    url: `smtp://127.0.0.1:${port}`,
    mails,
    [Symbol.asyncDispose]: () => new Promise<void>(closed => server.close(() => closed())),
  }
}

test('who was away gets an e-mail; a busy server gets it later, and who has no address is given up', async () => {
  await using shop = await followedShop()
  await using server = await mailServer()
  const addressOf = async (user: string) => (user === 'none' ? null : `${user}@shop.example`)
  const stop = sendFollowUps(shop.worker, createMailer(server.url, addressOf))
  try {
    await shop.missed('ann', 'busy', 'bad', 'none')
    await eventually(async () => {
      const outcomes = Object.values(await shop.outcomes())
      return outcomes.filter(outcome => outcome !== 'open').length === 4
    })
    expect(await shop.outcomes()).toEqual({
      ann: 'finished',
      busy: expect.stringMatching(/^open: .*451/),
      bad: expect.stringMatching(/^finished: .*550/),
      none: 'finished: The user has no address.',
    })
    expect(server.mails).toHaveLength(1)
    expect(server.mails[0]).toMatch(/^To: ann@shop\.example\r$/m)
    expect(server.mails[0]).toMatch(/^Subject: Your order was shipped\r$/m)
    expect(server.mails[0]).toMatch(/^Message-ID: <followup-\d+@shop\.example>\r$/m)
    expect(server.mails[0]).toContain('Your order 7')
    await shop.again()
    await eventually(async () => (await shop.outcomes()).busy === 'finished')
    expect(server.mails).toHaveLength(2)
  } finally {
    await stop()
  }
})
