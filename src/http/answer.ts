/** Headers of an answer that no cache may keep: it is for one user, or true only for a moment. */
export const uncached = { 'cache-control': 'no-store' } as const

/** An answer of JSON that no cache may keep. */
export const answer = (
  body: unknown,
  options: { status?: number; headers?: Record<string, string> } = {},
) =>
  Response.json(body, {
    status: options.status ?? 200,
    headers: { ...uncached, ...options.headers },
  })
