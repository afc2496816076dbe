/** A route handler of Next.js: `app/kairan/[...path]/route.ts`. Next runs on Bun: `bun --bun next start`. */
import { createKairan } from 'kairan'

export const dynamic = 'force-dynamic'

const kairan = createKairan({
  databaseUrl: process.env.DATABASE ?? '',
  prefix: '/kairan',
  logLevel: 'warn',
  identify: () => ({ userId: '42' }),
})

// Once in a process, at the first request: Next loads this file while it builds, too.
let started: Promise<void> | undefined

const answer = async (request: Request): Promise<Response> => {
  started ??= kairan.start()
  await started
  return kairan.fetch(request)
}

export { answer as DELETE, answer as GET, answer as POST, answer as PUT }
