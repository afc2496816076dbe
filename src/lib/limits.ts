/**
 * The limits that several parsers share. SQL has the same ones for what is stored; test/service/same-limits.test.ts
 * compares them at each border. Characters are Unicode code points, as `char_length` counts them in Postgres.
 */
export const limits = {
  /** Characters of a user id. */
  userId: 200,
  /** Characters of a channel's name. */
  channel: 250,
  /** Characters of a notification's type. */
  type: 200,
  /** Characters of a dedupeKey. */
  dedupeKey: 200,
  /** Channels of one notification. */
  channels: 1000,
  /** Notifications in one request. */
  batch: 100,
  /** Notification ids in one request. */
  ids: 100,
  /** Mutes of one user. */
  mutes: 200,
  /** Rows in one answer. */
  rows: 100,
  /** Types in one filter of the inbox. */
  filterTypes: 20,
} as const
