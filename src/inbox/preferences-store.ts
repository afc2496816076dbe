import type { Database } from '../postgres/database.ts'
import { runForClient } from '../postgres/errors.ts'
import type { MuteItem, PreferencesStore } from './preferences.ts'

/** The preferences in `kairan.mutes`. */
export const createPreferences = (database: Database): PreferencesStore => ({
  async read(userId) {
    const rows = await runForClient(
      database,
      sql => sql<{ mute: MuteItem }[]>`
        select jsonb_strip_nulls(
          jsonb_build_object('type', type, 'channel', channel, 'until', kairan.iso(until))
        ) as mute
        from kairan.mutes where user_id = ${userId} and (until is null or until > now())
        order by type, channel limit 1000`,
    )
    return { mute: rows.map(({ mute }) => mute) }
  },
  async write(userId, { mute }) {
    await runForClient(database, sql => sql`select kairan.set_mutes(${userId}, ${sql.json(mute)})`)
  },
})
