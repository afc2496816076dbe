import nodemailer from 'nodemailer'
import { type FollowUp, Undeliverable } from './follow-ups.ts'

/** Sends a follow-up as an e-mail. `smtpUrl` is like smtps://user:password@mail.example.com. */
export const createMailer = (
  smtpUrl: string,
  addressOf: (userId: string) => Promise<string | null>,
) => {
  const transport = nodemailer.createTransport(smtpUrl, { from: 'Shop <orders@shop.example>' })
  return async ({ id, user_id, type, payload }: FollowUp) => {
    const to = await addressOf(user_id)
    if (to === null) throw new Undeliverable('The user has no address.')
    try {
      await transport.sendMail({
        to,
        subject: subjects[type ?? ''] ?? 'Something happened',
        text: `Your order ${payload.orderId}: https://shop.example/orders/${payload.orderId}`,
        // The same for each attempt, so that a mail that was sent twice is shown once.
        messageId: `<followup-${id}@shop.example>`,
      })
    } catch (error) {
      // 5xx: the server will never take it. All else may pass.
      if (error instanceof Error && 'responseCode' in error && Number(error.responseCode) >= 500)
        throw new Undeliverable(error.message)
      throw error
    }
  }
}

const subjects: Record<string, string> = { 'order.shipped': 'Your order was shipped' }
