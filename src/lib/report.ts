/**
 * Tells the operator something: first the facts, then the sentence, as in pino. Each part of the service gets it as
 * an argument, so that tests can read what is reported.
 */
export type Report = {
  info(facts: object, sentence: string): void
  warn(facts: object, sentence: string): void
  error(facts: object, sentence: string): void
}
