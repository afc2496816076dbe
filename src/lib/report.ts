/**
 * Where a part of the service says what an operator should know: the facts first, then the
 * sentence, as in pino. Parts take one as an argument, so that a test can listen in.
 */
export type Report = {
  info(facts: object, sentence: string): void
  warn(facts: object, sentence: string): void
  error(facts: object, sentence: string): void
}
