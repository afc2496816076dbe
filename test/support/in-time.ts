/**
 * Runs a test of something that takes only so long, until it came in time for it: `work` is given one length after the
 * other, and resolves with false when this process or Postgres was too slow for that one. So a pause in the wrong
 * moment costs a repetition, and what is wrong each time fails.
 */
export const inTime = async (lengths: number[], work: (length: number) => Promise<boolean>) => {
  for (const length of lengths) if (await work(length)) return
  throw new Error(`Not in time with any of ${lengths.join(', ')}: ${work}`)
}
