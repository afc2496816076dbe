/**
 * How far cursor `a` is ahead of `b`: negative when it is behind, NaN when they belong to different logs or one is
 * unknown. A stream is in the order of the log, so a tab has seen every event that is not ahead of its cursor.
 */
export const distance = (a: string | null | undefined, b: string | null): number => {
  const [logA, seqA] = `${a}`.split('-')
  const [logB, seqB] = `${b}`.split('-')
  return logA === logB ? Number(seqA) - Number(seqB) : Number.NaN
}
