// Before all others: what they load needs a valid language.
import './language.ts'
import { render } from 'preact'
import { signOut } from './api.ts'
import { Login } from './login.tsx'
import { problems, resume, route, session, unreachable, watch } from './state.ts'
import { Audit } from './views/audit.tsx'
import { Explain } from './views/explain.tsx'
import { FollowUps } from './views/follow-ups.tsx'
import { Notifications } from './views/notifications.tsx'
import { Overview } from './views/overview.tsx'
import { Scheduled } from './views/scheduled.tsx'
import { Streams } from './views/streams.tsx'
import { System } from './views/system.tsx'
import { TryIt } from './views/try.tsx'

const pages = {
  overview: { name: 'Overview', view: Overview },
  streams: { name: 'Streams', view: Streams },
  notifications: { name: 'Notifications', view: Notifications },
  scheduled: { name: 'Scheduled', view: Scheduled },
  'follow-ups': { name: 'Follow-ups', view: FollowUps },
  explain: { name: 'Explain', view: Explain },
  try: { name: 'Try it', view: TryIt },
  audit: { name: 'Audit', view: Audit },
  system: { name: 'System', view: System },
}

const Dashboard = () => {
  if (session.value === undefined) return problems.value.length > 0 ? <Banner /> : null
  if (session.value === null) return <Login />
  const { page } = route.value
  const { view: View } = page in pages ? pages[page as keyof typeof pages] : pages.overview
  return (
    <>
      <header class="top">
        <h1>Kairan</h1>
        <nav aria-label="Pages">
          {Object.entries(pages).map(([key, { name }]) => (
            <a key={key} href={`#${key}`} aria-current={key === page ? 'page' : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <div class="who">
          {session.value.isReadOnly && <span class="badge">read-only</span>}
          <span title="signed in">{session.value.userId}</span>
          <button
            type="button"
            class="link"
            onClick={async () => {
              await signOut().then(resume, () => {
                problems.value = [unreachable]
              })
            }}
          >
            Sign out
          </button>
        </div>
      </header>
      <Banner />
      <main>
        <View />
      </main>
    </>
  )
}

/** What is wrong now, and what to do about it. */
const Banner = () =>
  problems.value.length === 0 ? null : (
    <div class="banner" role="alert">
      {problems.value.map(({ what, remedy }) => (
        <p key={what}>
          <strong>{what}</strong> {remedy}
        </p>
      ))}
    </div>
  )

const app = document.getElementById('app')
if (app) render(<Dashboard />, app)
await resume()
void watch()
