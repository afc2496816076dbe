import postgres from 'postgres'
import { migrate } from '../../src/postgres/migrate.ts'

/** A database with the schema kairan that the tests copy theirs from. It is dropped at the end of the scope. */
export const createTemplate = async (server: string) => {
  const name = `kairan_template_${crypto.randomUUID().slice(0, 8)}`
  const url = Object.assign(new URL(server), { pathname: `/${name}` }).toString()
  const admin = async (statement: string) => {
    const sql = postgres(server, { max: 1, onnotice: () => undefined })
    await sql.unsafe(statement).finally(() => sql.end())
  }
  const drop = () => admin(`drop database if exists ${name} with (force)`)
  await admin(`create database ${name}`)
  try {
    await migrate(url)
  } catch (error) {
    await drop()
    throw error
  }
  return { name, [Symbol.asyncDispose]: drop }
}
