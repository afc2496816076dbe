/** What was measured, on two shared cores: see docs/performance.md. CPU in milliseconds. */
export const measured = {
  /** By `bench/throughput.ts`: numbered one by one, each in a transaction of its own. */
  eventsPerPostgres: 5000,
  /** By `bench/instances.ts`: to open a stream, with its look-up and its presence. */
  openInstanceMs: 0.21,
  openPostgresMs: 0.03,
  /** By `bench/instances.ts` at 1,000/s: what another instance than the one that numbers spends on an event. */
  applyMs: 0.06,
  /** By `bench/paced.ts` and `bench/fanout.ts`: an event to one stream, alone and among 1,000. */
  writeMs: 0.0047,
  broadcastMs: 1 / 2500,
}

/** What is assumed. */
export const assumed = {
  streamsPerInstance: 100_000,
  /** MAX_STREAM_AGE_MS and HEARTBEAT_MS. */
  streamSeconds: 900,
  heartbeatSeconds: 15,
  /** Notifications of a user, in an hour. */
  eventsPerUserHour: 2,
  /** What opening may take of one core of a Postgres, and what notifications may take of what it can do. */
  share: 0.5,
  /** `max_connections`, and those that an instance uses. */
  connections: 500,
  connectionsPerInstance: 15,
  /** The fullest cell against the mean: the first table of bench/cells.ts. */
  unevenness: 1.16,
}

/** How many instances and cells it takes, by each of the things that limit them; at least one. */
export const sizesOf = (streams: number) => {
  const { openInstanceMs, openPostgresMs, applyMs, writeMs, broadcastMs, eventsPerPostgres } =
    measured
  const { streamsPerInstance, share, unevenness } = assumed
  const instances = Math.max(1, Math.ceil(streams / streamsPerInstance))
  const events = (streams * assumed.eventsPerUserHour) / 3600
  const opensPerSecond = streams / assumed.streamSeconds
  const atLeastOne = (cells: number) => Math.max(1, Math.ceil(cells * (cells > 1 ? unevenness : 1)))
  const cellsByEvents = atLeastOne(events / (eventsPerPostgres * share))
  const cellsByOpening = atLeastOne((opensPerSecond * openPostgresMs) / (1000 * share))
  const cellsByConnections = Math.ceil(
    (instances * assumed.connectionsPerInstance) / assumed.connections,
  )
  const cells = Math.max(cellsByEvents, cellsByOpening, cellsByConnections)
  const openCores = (opensPerSecond * openInstanceMs) / 1000
  const heartbeatCores = ((streams / assumed.heartbeatSeconds) * writeMs) / 1000
  // Each instance applies every event of its cell.
  const applyCores = ((events / cells) * applyMs * instances) / 1000
  const writeCores = (events * writeMs) / 1000
  return {
    streams,
    instances,
    cellsByEvents,
    cellsByOpening,
    cellsByConnections,
    opensPerSecond,
    openCores,
    heartbeatCores,
    applyCores,
    writeCores,
    coreShare: (openCores + heartbeatCores + applyCores + writeCores) / instances,
    broadcastMs: (streams / instances) * broadcastMs,
  }
}
