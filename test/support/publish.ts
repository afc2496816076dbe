import { SignJWT } from 'jose'
import { secret } from './service.ts'

/** A token with these claims, with a valid signature, valid for an hour. */
export const tokenWith = (claims: Record<string, unknown>) =>
  new SignJWT({ sub: 'shop', exp: Math.floor(Date.now() / 1000) + 3600, ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(secret))

/** A token that may publish on these channels, by default on all. */
export const publisherToken = (...channels: string[]) =>
  tokenWith({
    scope: 'profile kairan:publish',
    ...(channels.length > 0 ? { 'kairan:channels': channels } : {}),
  })

/** Publishes JSON over HTTP. A string is sent unchanged. */
export const publish = async (
  url: string,
  body: object | string,
  options: { token?: string; headers?: Record<string, string> } = {},
) =>
  fetch(`${url}/notifications`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${options.token ?? (await publisherToken())}`,
      'content-type': 'application/json',
      ...options.headers,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

/** The status and the JSON of an answer. */
export const answerOf = async (response: Response | Promise<Response>) => {
  const answer = await response
  const body: { id?: string; code?: string; detail?: string } = await answer.json()
  return { status: answer.status, ...body }
}
