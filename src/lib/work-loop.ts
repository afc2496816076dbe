export type WorkLoop = {
  /** Runs the work after `ms`, or `delayMs`. What is scheduled already is not moved. */
  schedule(ms?: number): void
  /**
   * Runs the work now, or once more when it is running: calls made meanwhile share that next run. Resolves
   * when it has ended, also when it failed.
   */
  flush(): Promise<void>
  /** Schedules nothing from now on. Resolves when the run under way has ended; `flush` still works. */
  stop(): Promise<void>
}

/**
 * Runs work that is asked for again and again: one run at a time, soon after it was scheduled. Work that
 * fails, or that resolves with how much it left for later, runs again after `retryMs`.
 */
export const createWorkLoop = (options: {
  /** Resolves with how much is left for later. */
  work(): Promise<number>
  /** Called with what the work threw. */
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
