import type { InboxItem } from './types.ts'

/** What a bell says, where the page gives it no other words. `{n}` stands for the number. */
export const texts = {
  title: 'Notifications',
  unread: '{n} unread',
  unseen: '{n} new',
  new: 'Unread',
  archive: 'Archive',
  archived: 'Archived',
  mute: 'Mute',
  muted: 'Muted',
  undo: 'Undo',
  markAll: 'Mark all as read',
  more: 'Load more',
  loading: 'Loading…',
  empty: 'No notifications',
  error: 'Something went wrong.',
  retry: 'Try again',
  offline: 'You are offline.',
}

/** The texts of a bell. */
export type BellTexts = typeof texts

/** What a bell shows of a notification. With `url` it is a link. */
export type BellItem = { title: string; text?: string | undefined; url?: string | undefined }

/** What a bell shows of a notification, where the page does not say it. */
export const describe = ({ payload, type }: InboxItem): BellItem => ({
  title: textOf(payload.title) ?? type ?? '',
  text: textOf(payload.body),
  url: textOf(payload.url),
})

const textOf = (value: unknown) => (typeof value === 'string' && value ? value : undefined)

/** Date and time of day, in the language of the page where that has a valid tag. */
export const timeOf = (moment: string, lang?: string): string => {
  const show = (locale?: string) =>
    new Date(moment).toLocaleString(locale, { dateStyle: 'medium', timeStyle: 'short' })
  try {
    return show(lang)
  } catch {
    return show('en')
  }
}
