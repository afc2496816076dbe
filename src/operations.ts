import { createFollowUpStore } from './admin/follow-ups-store.ts'
import { createHistory, type History } from './admin/history.ts'
import { dashboardRoutes } from './admin/page-routes.ts'
import { adminRoutes } from './admin/routes.ts'
import { createScheduledStore } from './admin/scheduled-store.ts'
import { adminSessionRoutes } from './admin/session-routes.ts'
import { createAdminStore } from './admin/store.ts'
import type { Auth } from './auth/auth.ts'
import type { CallerPlugin } from './auth/caller-routes.ts'
import { type Config, showConfig } from './config.ts'
import { described } from './described.ts'
import { demoRoutes } from './dev/demo-routes.ts'
import { createDemoStore } from './dev/demo-store.ts'
import { healthRoutes } from './http/health.ts'
import { openapiRoutes } from './http/openapi.ts'
import type { Routes } from './http/server.ts'
import type { Report } from './lib/report.ts'
import { version } from './lib/version.ts'
import type { Metrics } from './observe/metrics.ts'
import { metricsRoute } from './observe/metrics-routes.ts'
import type { Database } from './postgres/database.ts'
import { createPublisher } from './publish/store.ts'
import type { Streams } from './stream/streams.ts'

/** What operators ask for over HTTP: health, metrics, the description of the API, the dashboard; in `dev` the demo. */
export const createOperations = (
  config: Config,
  parts: {
    database: Database
    auth: Auth
    caller: CallerPlugin
    metrics: Metrics
    readableOf: Streams['readableOf']
    report: Report
    /** Why the service is not ready; empty when it is. */
    reasons(): string[]
    /** What works less well than it could. */
    notes(): string[]
    isDemo: boolean
    /** What the paths of all routes begin with. */
    prefix: string
    /** Whether the dashboard may sign in with a token: not where the application has its own sign-in. */
    signsIn: boolean
    /** The metrics of the other workers that share the port. */
    others(): object[]
  },
): { routes: Routes; history: Pick<History, 'start' | 'stop'> } => {
  const { database, auth, caller, metrics } = parts
  const cookie = config.authCookie
  const store = createAdminStore(database)
  const history = createHistory({ read: store.moment, everyMs: 10_000, most: 90 })
  const routes: Routes = [
    healthRoutes(parts.reasons, parts.notes),
    openapiRoutes(described, { version, cookie, prefix: parts.prefix }),
    metricsRoute(metrics, parts.others),
  ]
  if (parts.isDemo) {
    const { adminRoleLevel } = config
    routes.push(demoRoutes({ auth, cookie, adminRoleLevel, store: createDemoStore(database) }))
  }
  if (config.dashboard !== 'off') {
    if (parts.signsIn) routes.push(adminSessionRoutes({ auth, cookie }))
    routes.push(
      dashboardRoutes({ isHome: !parts.isDemo }),
      adminRoutes({
        caller,
        store,
        history,
        followUps: createFollowUpStore(database),
        scheduled: createScheduledStore(database),
        publish: createPublisher(database),
        readableOf: parts.readableOf,
        isReadOnly: config.dashboard === 'readonly',
        report: parts.report,
        retentionMs: config.retentionMs,
        settings: showConfig(config),
        version,
      }),
    )
  }
  return { routes, history: config.dashboard === 'off' ? noHistory : history }
}

const noHistory = { start: () => undefined, stop: async () => undefined }
