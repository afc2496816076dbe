import { drizzle } from 'drizzle-orm/node-postgres'
import { connect as connectPool } from './pg.ts'

export const connect = (url: string) => drizzle(connectPool(url))
