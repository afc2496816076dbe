/**
 * Waits until `check` says yes, or returns something. The limit is generous: it is there to end a test
 * that has failed, not to time one.
 */
export const eventually = async <T>(
  check: () => T | Promise<T>,
  limitMs = 20_000,
): Promise<NonNullable<T>> => {
  const end = Date.now() + limitMs
  for (;;) {
    const value = await check()
    if (value) return value
    if (Date.now() > end) throw new Error(`Not within ${limitMs} ms: ${check}`)
    await Bun.sleep(10)
  }
}
