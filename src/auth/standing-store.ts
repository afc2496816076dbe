import { createBatchLookup } from '../lib/batch-lookup.ts'
import { createSharedLookup } from '../lib/shared-lookup.ts'
import type { Sql } from '../postgres/connect.ts'
import type { Database } from '../postgres/database.ts'
import { isOfApplication } from './channels.ts'
import type { Mute } from './mutes.ts'
import { defaultRoleLevelQuery } from './roles.ts'
import type { Standing, Standings } from './standing.ts'

/** So many users are looked up together: what follows for all of them is done in one turn of the event loop. */
const usersAtOnce = 250

/**
 * Looks up what users may read: the role level with ROLE_LEVEL_QUERY or in kairan.roles, and the channels in
 * kairan.members and with CHANNELS_QUERY, at the same time. Lookups in Kairan's own tables are combined; the two
 * queries are asked for each user.
 */
export const createStandings = (
  database: Database,
  options: { roleLevelQuery: string; channelsQuery: string; maxChannels: number },
): Standings => {
  const most = options.maxChannels
  const hasOwnRoles = options.roleLevelQuery === defaultRoleLevelQuery
  const channelsQuery = options.channelsQuery.replace(/[;\s]+$/, '')
  const ownQueries = (hasOwnRoles ? 0 : 1) + (channelsQuery === '' ? 0 : 1)
  const lookUp = createBatchLookup(userIds => lookUpMany(database, userIds, most + 1), usersAtOnce)

  const ofChannels = (from: string) => `select channel::text from ${from} limit ${most + 1}`

  const levelOf = async (userId: string) =>
    hasOwnRoles ? null : askRoleLevel(database, options.roleLevelQuery, userId)

  const queried = async (userId: string, rest: (from: string) => string, more: string[] = []) =>
    channelsQuery === ''
      ? []
      : askChannels(database, rest(`(${channelsQuery}\n) q (channel)`), [userId, ...more])

  const of = async (userId: string): Promise<Standing> => {
    const [own, level, others] = await Promise.all([
      lookUp(userId),
      levelOf(userId),
      queried(userId, ofChannels),
    ])
    return {
      roleLevel: level ?? own.roleLevel,
      channels: merge(own.channels, others.filter(isOfApplication)),
      isCut: own.isCut || others.length > most,
      ...(own.mutes && { mutes: own.mutes }),
    }
  }

  return {
    atOnce: ownQueries === 0 ? usersAtOnce : 4 / ownQueries,
    // One user opens hundreds of streams at the same time: the queries are asked for all of them together.
    of: ownQueries === 0 ? lookUp : createSharedLookup(of, 2),
    async pick(userId, channels) {
      const [own, others] = await Promise.all([
        database.run(
          sql => sql<{ channel: string }[]>`
            select distinct channel from kairan.members
            where user_id in (${userId}, '*')
              and channel in (select jsonb_array_elements_text(${sql.json([...channels])}))`,
        ),
        queried(
          userId,
          from =>
            `select distinct channel::text from ${from}
             where channel::text in (select jsonb_array_elements_text($2::text::jsonb))`,
          [JSON.stringify(channels)],
        ),
      ])
      const found = own.map(({ channel }) => channel)
      return [...merge(found, others.filter(isOfApplication))]
    },
    async count(userId) {
      const [[own], [others]] = await Promise.all([
        database.run(
          sql => sql<{ n: number }[]>`
            select count(distinct channel)::int as n from kairan.members where user_id in (${userId}, '*')`,
        ),
        queried(userId, from => `select count(distinct channel)::text from ${from}`),
      ])
      return (own?.n ?? 0) + Number(others ?? 0)
    },
    async check() {
      const refusals = await Promise.all([
        refusalOf('ROLE_LEVEL_QUERY', levelOf(nobody)),
        refusalOf('CHANNELS_QUERY', queried(nobody, ofChannels)),
      ])
      return refusals.filter(refusal => refusal !== null)
    },
  }
}

/** A user id to try the queries with. */
const nobody = '0'

/** What Postgres says of a query that it refuses; null when it does not, or can't be asked. */
const refusalOf = async (name: string, answer: Promise<unknown>) => {
  try {
    await answer
    return null
  } catch (error) {
    return error instanceof Error && 'code' in error && /^42/.test(String(error.code))
      ? { name, error: error.message }
      : null
  }
}

const nothing: readonly string[] = []

/** Both lists, each name once. */
const merge = (some: readonly string[], others: readonly string[]) => {
  if (others.length === 0) return some
  return some.length === 0 ? [...new Set(others)] : [...new Set([...some, ...others])]
}

/** The members' channels with the user id `*` are looked up with the users, once for all of them. */
const lookUpMany = async (database: Database, userIds: string[], limit: number) => {
  const rows = await database.run(sql => standingRows(sql, ['*', ...new Set(userIds)], limit))
  const found = new Map(rows.map(row => [row.id, row]))
  const channelsOf = (id: string) => found.get(id)?.channels?.split(',') ?? nothing
  const ofAll = channelsOf('*')
  return (userId: string): Standing => {
    const own = channelsOf(userId)
    const mutes = found.get(userId)?.mutes
    return {
      roleLevel: found.get(userId)?.role_level ?? 0,
      channels: merge(own, ofAll),
      isCut: own.length >= limit || ofAll.length >= limit,
      ...(mutes && { mutes }),
    }
  }
}

// No channel has a comma in it: one text is read faster than an array.
const standingRows = (sql: Sql, ids: string[], limit: number) => sql<
  { id: string; role_level: number | null; channels: string | null; mutes: Mute[] | null }[]
>`
  select u.id, r.role_level, m.channels, q.mutes
  from jsonb_array_elements_text(${sql.json(ids)}) u (id)
  left join kairan.roles r on r.user_id = u.id
  cross join lateral (
    select string_agg(c.channel, ',') as channels
    from (select channel from kairan.members where user_id = u.id order by channel limit ${limit}) c
  ) m
  cross join lateral (
    select jsonb_agg(jsonb_build_object(
      'type', type, 'channel', channel, 'until', (extract(epoch from until) * 1000)::float8
    ) order by type, channel) as mutes
    from kairan.mutes where user_id = u.id and (until is null or until > now())
  ) q
  where r.user_id is not null or m.channels is not null or q.mutes is not null`

const askRoleLevel = async (database: Database, query: string, userId: string) => {
  const row = await unlessMismatch(
    database
      .run(sql => sql.unsafe<Record<string, unknown>[]>(query, [userId]))
      .then(rows => rows[0]),
  )
  return row ? Number(Object.values(row)[0]) || 0 : 0
}

const askChannels = async (database: Database, query: string, parameters: string[]) => {
  const rows = await unlessMismatch(
    database.run(sql => sql.unsafe<{ channel?: unknown; count?: unknown }[]>(query, parameters)),
  )
  return (rows ?? []).flatMap(row => {
    const value = row.channel ?? row.count
    return typeof value === 'string' ? value : []
  })
}

/** The ids in that table may be numbers. An id that is no number belongs to no user there. */
const unlessMismatch = async <T>(answer: Promise<T>): Promise<T | undefined> => {
  try {
    return await answer
  } catch (error) {
    if (isDataException(error)) return
    throw error
  }
}

/** SQLSTATE class 22: the value does not fit the column that it is compared with. */
const isDataException = (error: unknown) =>
  error instanceof Error && 'code' in error && String(error.code).startsWith('22')
