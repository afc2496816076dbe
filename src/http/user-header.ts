/**
 * Says whose the answer is, percent-encoded: by it a page notices that its cookie has become another user's.
 */
export const userHeader = (userId: string) => ({
  'kairan-user': encodeURIComponent(userId.toWellFormed()),
})

/** What pages of other origins may read of an answer's headers. */
export const exposedHeaders = ['Retry-After', 'Kairan-User', 'Kairan-Time']
