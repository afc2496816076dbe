import postgres from 'postgres'
import { tokenFor } from '../support/service.ts'
import type { Instance } from './instance.ts'
import type { Random } from './random.ts'

/** One notification for one user, so that users do not mix. */
export type Sent = { user: string; id: string; how: string; answeredAt: number | null }

export type App = { stopped: boolean; url(): string; instances: Instance[]; sent: Sent[] }

const ways = ['nothing', 'nothing', 'receipt', 'read', 'seen', 'cursor', 'confirm', 'withdraw']

/** Publishes for one new user after the other, and lets some of them receive it. */
export const publishAndReceive = async (app: App, number: number, random: Random) => {
  const receiving: Promise<void>[] = []
  for (let n = 0; !app.stopped; n++) {
    const user = `u${number}-${n}`
    const afterMs = Math.round(random.between(1000, 3000))
    const id = await run(app.url(), async sql => {
      const [row] = await sql<{ id: string }[]>`
        select kairan.publish(${`user-${user}`}, '{}', 't', follow_up_after => ${`${afterMs} ms`}::text::interval) as id`
      return row?.id ?? null
    })
    if (id !== null) {
      const item: Sent = { user, id, how: random.pick(ways), answeredAt: null }
      app.sent.push(item)
      // Most of them about when it is due.
      const delayMs = random.chance(0.5)
        ? random.between(0, afterMs)
        : afterMs + random.between(-200, 700)
      const url = random.pick(app.instances).url
      receiving.push(Bun.sleep(delayMs).then(() => receive(app.url(), url, item)))
    }
    await Bun.sleep(random.between(0, 40))
  }
  await Promise.all(receiving)
}

const receive = async (databaseUrl: string, url: string, item: Sent) => {
  const { user, id, how } = item
  if (how === 'nothing') return
  const { [how]: act = async () => false } = actions
  // A client has only what was numbered.
  const isThere = await run(databaseUrl, async sql => {
    const rows = await sql`select from kairan.numbered where notification_id = ${id}`
    return rows.length > 0
  })
  const isDone = isThere && (await act(databaseUrl, url, user, id).catch(() => false))
  if (isDone) item.answeredAt = Date.now()
}

type Action = (databaseUrl: string, url: string, user: string, id: string) => Promise<boolean>

/** Each resolves with whether it was answered that it is done. */
const actions: Record<string, Action> = {
  receipt: (_, url, user, id) => post(url, user, 'receipts', { ids: [id] }),
  read: (_, url, user, id) => post(url, user, 'read', { ids: [id] }),
  async seen(databaseUrl, url, user, id) {
    const cursor = await run(databaseUrl, async sql => {
      const [row] = await sql<{ cursor: string }[]>`
        select l.epoch || '-0' || d.seq as cursor from kairan.log l, kairan.numbered d where d.notification_id = ${id}`
      return row?.cursor ?? null
    })
    return cursor !== null && (await post(url, user, 'seen', { upTo: cursor }))
  },
  cursor: async (databaseUrl, _, user, id) =>
    (await run(databaseUrl, async sql => {
      const [row] = await sql<{ seq: number }[]>`
        select seq::float8 as seq from kairan.numbered where notification_id = ${id}`
      if (!row) return null
      const { seq } = row
      const items = [
        { userId: user, channels: [`user-${user}`], pending: [], since: seq - 1, seq },
        { userId: user, since: seq, seq },
      ]
      await sql`select kairan.record_unconfirmed(${sql.json(items)})`
      return true
    })) ?? false,
  confirm: async (databaseUrl, _, user, id) =>
    (await run(databaseUrl, async sql => {
      await sql`select kairan.confirm(${user}, ${[`user-${user}`]}, ${sql.json([id])})`
      return true
    })) ?? false,
  withdraw: async (databaseUrl, _, __, id) =>
    (await run(databaseUrl, async sql => {
      await sql`select kairan.withdraw(${id}::uuid)`
      return true
    })) ?? false,
}

const post = async (url: string, user: string, path: string, body: object) => {
  const response = await fetch(`${url}/notifications/${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await tokenFor(user)}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(3000),
  })
  await response.text()
  return response.ok
}

/** The application's own connections to each server. */
const clients = new Map<string, postgres.Sql>()

const clientOf = (url: string) => {
  const known = clients.get(url)
  if (known) return known
  const client = postgres(url, {
    ...{ max: 10, connect_timeout: 2, prepare: false },
    onnotice: () => undefined,
    backoff: () => 0.05,
  })
  clients.set(url, client)
  return client
}

/** Null when the database is away. Whether it was committed then, the table knows. */
const run = async <T>(url: string, work: (sql: postgres.Sql) => Promise<T | null>) => {
  try {
    return await work(clientOf(url))
  } catch {
    return null
  }
}

/** Ends the connections. */
export const endClients = async () => {
  await Promise.all([...clients.values()].map(client => client.end({ timeout: 1 })))
  clients.clear()
}
