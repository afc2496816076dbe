import { backoffMs, createPause } from '../lib/backoff.ts'
import { messageOf } from '../lib/errors.ts'
import type { Report } from '../lib/report.ts'

export type Workers = {
  /**
   * Starts the workers, and restarts each that ends. Resolves with the exit code when all have ended: after `stop`, or
   * because the first could not start.
   */
  run(): Promise<number>
  /** Lets all workers drain. */
  stop(): void
  /** Ends all workers at once. */
  kill(): void
}

type Options = {
  count: number
  /**
   * The command of the worker with this number, from 1. When the worker is ready, it sends its URL over IPC. Objects
   * that it sends are passed on to the other workers.
   */
  command: (worker: number) => string[]
  env: Record<string, string | undefined>
  /**
   * How often a worker sends something, if only a number as a sign of life, once it has begun to. One that misses five
   * times in a row hangs, and is killed. Counted by the timer of this process, so that nobody is killed when the
   * machine has slept.
   */
  aliveMs: number
  /** A worker that was ready for this time is restarted without delay, whatever failed before. */
  steadyMs: number
  report: Report
}

/**
 * Keeps `count` equal processes running. The first starts alone: it brings the schema up to date, and a reason that
 * prevents the start is reported once.
 */
export const createWorkers = (options: Options): Workers => {
  const { count, report } = options
  const ready = new Set<number>()
  const begun = Promise.withResolvers<null>()
  let hasBegun = false
  let announced = false

  const workers = Array.from({ length: count }, (_, index) => {
    const worker = index + 1
    return createWorker(worker, {
      ...options,
      hasBegun: () => hasBegun,
      onReady(url) {
        hasBegun = true
        begun.resolve(null)
        ready.add(worker)
        if (announced) return report.info({ worker }, 'A worker is ready again.')
        announced = ready.size === count
        if (announced) report.info({ url, workers: count }, 'Kairan is ready.')
      },
      onEnd: () => ready.delete(worker),
      relay(message) {
        for (const other of workers) if (other.number !== worker) other.send(message)
      },
    })
  })

  return {
    async run() {
      const [first, ...others] = workers.map(worker => worker.keep)
      const keeping = first?.() ?? Promise.resolve(0)
      const code = await Promise.race([keeping, begun.promise])
      if (code !== null) return code
      return Math.max(...(await Promise.all([keeping, ...others.map(keep => keep())])))
    },
    stop() {
      for (const worker of workers) worker.stop()
    },
    kill() {
      for (const worker of workers) worker.kill()
    },
  }
}

/** Calls `hangs` when nothing was heard for five intervals after something was. */
const watchFor = (everyMs: number, hangs: () => void) => {
  let missed: number | null = null
  const timer = setInterval(() => {
    if (missed !== null && ++missed === 5) hangs()
  }, everyMs)
  return {
    heard() {
      missed = 0
    },
    end: () => clearInterval(timer),
  }
}

/** Keeps one worker running. */
const createWorker = (
  worker: number,
  options: Options & {
    hasBegun(): boolean
    onReady(url: string): void
    onEnd(): void
    relay(message: object): void
  },
) => {
  const { report } = options
  const pause = createPause()
  let child: Bun.Subprocess | null = null
  let stopping = false

  const runOnce = async () => {
    let readyAt = Number.POSITIVE_INFINITY
    const watch = watchFor(options.aliveMs, () => {
      report.error({ worker }, 'A worker hangs. It is killed.')
      child?.kill('SIGKILL')
    })
    try {
      child = Bun.spawn(options.command(worker), {
        env: options.env,
        stdio: ['ignore', 'inherit', 'inherit'],
        ipc(message, sender) {
          // Its last message may arrive after its end.
          if (sender !== child) return
          watch.heard()
          if (stopping) return
          if (typeof message === 'object' && message) return options.relay(message)
          if (typeof message !== 'string') return
          readyAt = performance.now()
          options.onReady(message)
        },
      })
    } catch (error) {
      // The system cannot start more processes, or the program was moved.
      watch.end()
      report.error({ worker, error: messageOf(error) }, 'A worker could not be started.')
      return { code: 1, signal: null, wasSteady: false }
    }
    const code = await child.exited
    watch.end()
    const signal = child.signalCode
    child = null
    options.onEnd()
    return { code, signal, wasSteady: performance.now() - readyAt >= options.steadyMs }
  }

  return {
    number: worker,
    async keep() {
      for (let failures = 1; !stopping; failures++) {
        const { code, signal, wasSteady } = await runOnce()
        // The signal may come before the worker handles signals.
        if (stopping) return signal === 'SIGTERM' || signal === 'SIGINT' ? 0 : code
        if (!options.hasBegun() && isFinal.has(code)) return code
        if (wasSteady) failures = 1
        const againMs = Math.round(backoffMs(failures))
        report.error({ worker, code, signal, againMs }, 'A worker ended. It is started again.')
        await pause.wait(againMs)
      }
      return 0
    },
    send(message: object) {
      // The worker does not read messages yet, or has ended.
      if (child?.exitCode !== null) return
      try {
        child.send(message)
      } catch {
        // It has ended just now.
      }
    },
    stop() {
      stopping = true
      child?.kill('SIGTERM')
      pause.end()
    },
    kill() {
      stopping = true
      child?.kill('SIGKILL')
    },
  }
}

/** The exit code of main.ts when a start is impossible. Other codes may be accidents. */
const isFinal = new Set([1, 78])
