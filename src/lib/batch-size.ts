/** How many rows to take at once. */
export type BatchSize = {
  /** Runs a step with as many, and passes on what it resolves or rejects with. */
  run<T>(step: (size: number) => Promise<T>): Promise<T>
}

/**
 * At first `most`; after a step that failed a quarter, after one that took longer than `slowMs` a half, and after any
 * other twice as many. So what takes longer than a statement may, since its rows are what they are, is not tried again
 * and again as it was. Never fewer than `least`.
 */
export const createBatchSize = (options: {
  most: number
  least: number
  slowMs: number
}): BatchSize => {
  const { most, least, slowMs } = options
  let size = most
  const grow = (factor: number) => {
    size = Math.min(Math.max(Math.floor(size * factor), least), most)
  }
  return {
    async run(step) {
      const began = performance.now()
      try {
        const done = await step(size)
        grow(performance.now() - began > slowMs ? 1 / 2 : 2)
        return done
      } catch (error) {
        grow(1 / 4)
        throw error
      }
    },
  }
}
