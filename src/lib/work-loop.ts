export type WorkLoop = {
  /** Runs the work after `ms`, by default `delayMs`. A run that is already scheduled keeps its time. */
  schedule(ms?: number): void
  /**
   * Runs the work now. If it is running, it runs once more, and all calls made meanwhile share that next run.
   * Resolves when the run has ended, also when it failed.
   */
  flush(): Promise<void>
  /** Schedules no more runs. Resolves when the current run has ended. `flush` still works. */
  stop(): Promise<void>
}

/**
 * Runs the same work again and again, one run at a time, each soon after it was scheduled. A run that fails, or that
 * leaves something for later, is repeated after `retryMs`.
 */
export const createWorkLoop = (options: {
  /** Resolves with the amount of work that is left. */
  work(): Promise<number>
  /** Called with the error that the work threw. */
  failed(error: unknown): void
  delayMs: number
  retryMs: number
}): WorkLoop => {
  let timer: ReturnType<typeof setTimeout> | null = null
  let running: Promise<void> = Promise.resolve()
  let next: Promise<void> | null = null
  let isStopped = false

  const cancel = () => {
    if (timer) clearTimeout(timer)
    timer = null
  }

  const schedule = (ms = options.delayMs) => {
    if (!isStopped) timer ??= setTimeout(() => void flush(), ms)
  }

  const flush = () => {
    cancel()
    next ??= running.then(() => {
      next = null
      running = run()
      return running
    })
    return next
  }

  const run = async () => {
    try {
      if ((await options.work()) > 0) schedule(options.retryMs)
    } catch (error) {
      options.failed(error)
      schedule(options.retryMs)
    }
  }

  return {
    schedule,
    flush,
    async stop() {
      isStopped = true
      cancel()
      await (next ?? running)
    },
  }
}
