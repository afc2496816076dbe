/**
 * How far cursor `a` is ahead of `b`: negative when it is behind, NaN when they are of different logs or
 * one is not known. A stream is in the order of the log, so what is not ahead of what a tab has seen, it has
 * seen.
 */
export const distance = (a: string | null | undefined, b: string | null) => {
  const [logA, seqA] = a?.split('-') ?? []
  const [logB, seqB] = b?.split('-') ?? []
  return logA === logB ? Number(seqA) - Number(seqB) : Number.NaN
}
