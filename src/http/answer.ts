/** For answers that hold what only one user may see, or what is true only now: no cache keeps them. */
export const uncached = { 'cache-control': 'no-store' } as const

/** An answer of JSON that no cache keeps. */
export const answer = (
  body: unknown,
  options: { status?: number; headers?: Record<string, string> } = {},
) =>
  Response.json(body, {
    status: options.status ?? 200,
    headers: { ...uncached, ...options.headers },
  })
