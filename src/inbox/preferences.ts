/** What a user has muted, as clients write it. `until` is ISO 8601. */
export type MuteItem = ({ type: string } | { channel: string }) & { until?: string }

/** What a user wants to hear of. */
export type Preferences = { mute: MuteItem[] }

export type PreferencesStore = {
  /** Throws `unavailable`. */
  read(userId: string): Promise<Preferences>
  /** Replaces what the user has muted; the user's open streams follow at commit. Throws `unavailable`. */
  write(userId: string, preferences: Preferences): Promise<void>
}
