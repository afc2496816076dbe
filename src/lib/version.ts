import { version as packageVersion } from '../../package.json'

/** The version of Kairan. */
export const version: string = packageVersion
