/** The key of a secret as Standard Webhooks 1.0 writes it: `whsec_` and the base64 of 24 to 64 bytes. Else null. */
export const parseWebhookSecret = (secret: string): Buffer | null => {
  const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? []
  const key = Buffer.from(base64, 'base64')
  return key.length >= 24 && key.length <= 64 ? key : null
}
