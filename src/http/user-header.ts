/**
 * Header with the user id of the answer, percent-encoded. By it a page notices that its cookie now belongs to another
 * user.
 */
export const userHeader = (userId: string) => ({
  'kairan-user': encodeURIComponent(userId.toWellFormed()),
})

/** The headers of an answer that pages of other origins may read. */
export const exposedHeaders = ['Retry-After', 'Kairan-User', 'Kairan-Time']
