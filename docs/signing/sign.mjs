import { createHmac } from 'node:crypto'

const encode = value => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token for a user, valid for `seconds`. Add `scope: 'kairan:publish'` to the claims to publish. */
export const sign = (userId, secret, seconds = 3600, claims = {}) => {
  const now = Math.floor(Date.now() / 1000)
  const body = { ...claims, sub: String(userId), iat: now, exp: now + seconds }
  const unsigned = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(body)}`
  return `${unsigned}.${createHmac('sha256', secret).update(unsigned).digest('base64url')}`
}

console.log(sign(process.argv[2], process.env.JWT_SECRET))
