import type { Config } from './config.ts'
import { type HttpServer, listen } from './http/server.ts'
import { createInstance, type InstanceOptions } from './instance.ts'
import type { Report } from './lib/report.ts'
import { findPort } from './process/port.ts'

export type Service = {
  /** Serves, and resolves when it is ready. Rejects when the schema can't be brought up to date. */
  start(): Promise<void>
  /**
   * Ends the streams within DRAIN_MS, writes what is left to write, and closes everything. Meanwhile it answers new
   * requests, unless it has to give up the port at once.
   */
  stop(how?: { keepsPort: boolean }): Promise<void>
  readonly url: string
  /** Why it is not ready; empty when it is. */
  reasons(): string[]
  /** How many streams are open. */
  readonly streams: number
  /** What it has counted, for `others` of another worker. */
  metrics(): Promise<object>
}

/** How long a proxy that asks `/readyz` each second may take to see that an instance drains. */
const noticeMs = 3000

/** Kairan on a port of its own. */
export const createService = (
  config: Config,
  report: Report,
  options: Pick<InstanceOptions, 'demo' | 'worker' | 'relay'> = {},
): Service => {
  const { host, port, workers, heartbeatMs, drainMs } = config
  const instance = createInstance(config, report, { ...options, host })
  let http: HttpServer | null = null
  let stopped: Promise<void> | null = null

  const stop = async ({ keepsPort }: { keepsPort: boolean }) => {
    instance.refuse()
    if (!keepsPort) http?.leave()
    // Also an instance without streams keeps its port until a proxy's health check has seen it leave.
    await Promise.all([instance.drain(drainMs), Bun.sleep(Math.min(drainMs, noticeMs))])
    await http?.stop()
    await instance.stop()
  }

  return {
    async start() {
      try {
        http = listen(instance.app, { host, port, sharesPort: workers > 1, heartbeatMs })
      } catch (error) {
        // Bun calls every failure a port in use, also that of a name without an address.
        await findPort(host, port)
        throw error
      }
      await instance.start()
    },
    stop: (how = { keepsPort: true }) => {
      stopped ??= stop(how)
      return stopped
    },
    get url() {
      if (!http) throw new Error('The service has not been started')
      return http.url
    },
    reasons: instance.reasons,
    get streams() {
      return instance.state().streams
    },
    metrics: instance.metrics,
  }
}
