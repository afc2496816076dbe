import { version as packageVersion } from '../../package.json'

/** Which version of Kairan this is. */
export const version: string = packageVersion
