/** What an application knows of the user of a request. */
export type Identified = {
  /** 1 to 200 characters, none of them a space, a comma or a control character. */
  userId: string
  /** When the sign-in ends, and with it the user's streams: a Date, or Unix seconds. By default never. */
  expiresAt?: Date | number | undefined
  /** The application's channels that the user may read besides: names, or beginnings that end in `*`. */
  channels?: readonly string[] | undefined
  /** The channels on which the user may publish over HTTP, in the same form. By default none. */
  publishes?: readonly string[] | undefined
}

/** The cookies of a request by their names; one that was not sent has no value. */
export type Cookies = { readonly [name: string]: { readonly value: string | undefined } }

/**
 * The sign-in of an application: the user of a request, or null. An error that it throws is reported, and answered
 * with 503, as a failure that passes.
 */
export type Identify = (from: {
  request: Request
  cookie: Cookies
}) => Identified | null | Promise<Identified | null>
