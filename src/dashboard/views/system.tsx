import type { InstanceProblem, Step, SystemFacts } from '../../admin/admin.ts'
import { useAnswer } from '../answer.ts'
import { get, post } from '../api.ts'
import { ago, bytes, short, since, time } from '../format.ts'
import { Complaint, Progress, Tile } from '../parts.tsx'

type System = SystemFacts & {
  version: string
  bun: string
  settings: Record<string, string>
  problems: InstanceProblem[]
}

export const System = () => {
  const { answer: system, error } = useAnswer('system', () => get<System>('system'))
  if (!system) return <Complaint error={error} />
  return (
    <>
      <div class="tiles">
        <Tile
          name="Kairan"
          value={system.version}
          note={`Bun ${system.bun} · Postgres ${system.postgres}`}
        />
        <Tile
          name="Oldest notification"
          value={system.oldestAt ? since(system.oldestAt) : '–'}
          note={`removed after ${system.settings.RETENTION}`}
        />
        <Tile
          name="NOTIFY queue"
          value={`${(system.queueUsage * 100).toFixed(1)} %`}
          note="at 100 % commits fail"
        />
        <Tile
          name="Oldest transaction"
          value={ago(system.oldestTransactionSeconds)}
          note={
            system.oldestTransactionSeconds > 60
              ? 'Other transactions wait for its locks.'
              : 'open in this database'
          }
        />
      </div>
      {system.problems.length > 0 && (
        <section class="card">
          <h2>Instances that are not ready</h2>
          <table class="pairs">
            <tbody>
              {system.problems.map(({ instanceId, problem }) => (
                <tr key={instanceId}>
                  <td>
                    <code>{instanceId.slice(0, 8)}</code>
                  </td>
                  <td class="wide">{problem}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      <div class="halves">
        <section class="card">
          <h2>Settings of this instance</h2>
          <table class="pairs">
            <tbody>
              {Object.entries(system.settings).map(([name, value]) => (
                <tr key={name}>
                  <td>
                    <code>{name}</code>
                  </td>
                  <td class="wide">{value || '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
        <div>
          <section class="card">
            <h2>Tables</h2>
            <table>
              <tbody>
                {system.tables.map(({ name, bytes: size, rows }) => (
                  <tr key={name}>
                    <td>{name}</td>
                    <td class="number">
                      {rows === null ? 'not counted yet' : `about ${short(rows)} rows`}
                    </td>
                    <td class="number">{bytes(size)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            <p class="note">
              Log {system.epoch}: the last position is {system.head.toLocaleString('en')}, and those
              up to {system.floor.toLocaleString('en')} are removed. Positions are no count: they
              skip about a million when Postgres was restarted.
            </p>
            <Progress name="Remove what is too old" step={() => post<Step>('prune')} />
          </section>
          <section class="card">
            <h2>Migrations</h2>
            <table>
              <tbody>
                {system.migrations.map(({ version, name, appliedAt }) => (
                  <tr key={version}>
                    <td class="number">{version}</td>
                    <td>{name}</td>
                    <td>{time(appliedAt)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        </div>
      </div>
    </>
  )
}
