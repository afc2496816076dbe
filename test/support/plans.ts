import fc from 'fast-check'

/** What one of several writers does next. */
export type Step<Action> = { writer: number; action: Action }

/** Random plans of what several writers do, in any order. */
export const plansOf = <Action>(
  actions: readonly Action[],
  { writers, maxLength }: { writers: number; maxLength: number },
) =>
  fc.array(
    fc.record<Step<Action>>({
      writer: fc.nat({ max: writers - 1 }),
      action: fc.constantFrom(...actions),
    }),
    { minLength: 10, maxLength },
  )
