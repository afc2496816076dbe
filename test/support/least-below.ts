/**
 * The least of what `measure` returns, which is repeated up to three times until it is below `limit`. A pause of this
 * process or of the machine is in one measurement; what is slow each time is slow.
 */
export const leastBelow = async (limit: number, measure: () => Promise<number>) => {
  let least = Number.POSITIVE_INFINITY
  for (let n = 0; n < 3 && least >= limit; n++) least = Math.min(least, await measure())
  return least
}
