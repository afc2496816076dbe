/**
 * Waits until `check` returns true or another value. The limit is generous: it ends a test that has failed, and
 * measures nothing.
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
