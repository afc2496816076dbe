import type { Instance } from '../../admin/admin.ts'
import { Chart } from '../chart.tsx'
import { count, rate, seconds, short, since } from '../format.ts'
import { Tile } from '../parts.tsx'
import { overview, samples } from '../state.ts'

export const Overview = () => {
  const state = overview.value
  const now = samples.value.at(-1)
  if (!state || !now) return <p class="empty">Loading…</p>
  const pending = state.pending >= 10_000 ? '10k+' : short(state.pending)
  return (
    <>
      <div class="tiles">
        <Tile
          name="Streams"
          value={short(now.streams)}
          note={`on ${count(state.instances.length, 'instance')}`}
        />
        <Tile name="Users online" value={short(now.users)} />
        <Tile name="Published" value={`${rate(now.published)}/s`} note="one for each channel" />
        <Tile name="Delivered" value={`${rate(now.delivered)}/s`} note="events × streams" />
        <Tile
          name="Latency p50"
          value={seconds(now.p50)}
          note={`p95 ${seconds(now.p95)} · p99 ${seconds(now.p99)}`}
        />
        <Tile name="Waiting" value={pending} note="deliveries that are pending" />
      </div>
      <div class="charts">
        <Chart
          title="Events a second"
          format={rate}
          lines={[
            { name: 'published', of: sample => sample.published, color: '--one' },
            { name: 'delivered', of: sample => sample.delivered, color: '--two' },
          ]}
        />
        <Chart
          title="From the insert to the first stream"
          format={seconds}
          lines={[
            { name: 'p50', of: sample => sample.p50, color: '--one' },
            { name: 'p95', of: sample => sample.p95, color: '--two' },
            { name: 'p99', of: sample => sample.p99, color: '--three' },
          ]}
        />
        <Chart
          title="Streams and users"
          format={short}
          lines={[
            { name: 'streams', of: sample => sample.streams, color: '--one' },
            { name: 'users', of: sample => sample.users, color: '--two' },
          ]}
        />
      </div>
      <h2>Instances</h2>
      <div class="scroll">
        <table class="rows">
          <thead>
            <tr>
              <th>Instance</th>
              <th>Version</th>
              <th class="number">Streams</th>
              <th class="number">Delivered</th>
              <th class="number">Refused</th>
              <th>LISTEN</th>
              <th>State</th>
              <th class="number">Up</th>
            </tr>
          </thead>
          <tbody>{state.instances.map(instance => row(instance))}</tbody>
        </table>
      </div>
    </>
  )
}

const row = ({ id, facts, silentMs, startedAt }: Instance) => {
  const refused = Object.values(facts.refused ?? {}).reduce((sum, count) => sum + count, 0)
  const isGone = silentMs >= 10_000
  return (
    <tr key={id}>
      <td data-name="Instance">
        <code>{id.slice(0, 8)}</code>
      </td>
      <td data-name="Version">{facts.version ?? '–'}</td>
      <td class="number" data-name="Streams">
        {short(facts.streams ?? 0)}
      </td>
      <td class="number" data-name="Delivered">
        {short(facts.delivered ?? 0)}
      </td>
      <td class="number" data-name="Refused">
        {short(refused)}
      </td>
      <td data-name="LISTEN">
        <span class={`badge ${facts.listening ? 'delivered' : 'failed'}`}>
          {facts.listening ? 'up' : 'down'}
        </span>
      </td>
      <td class="wide" data-name="State">
        {isGone ? `silent for ${Math.round(silentMs / 1000)} s` : (facts.problem ?? 'ready')}
      </td>
      <td class="number" data-name="Up">
        {since(startedAt)}
      </td>
    </tr>
  )
}
