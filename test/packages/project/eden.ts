/** A program of the application's that asks its routes by Eden Treaty. */
import { treaty } from '@elysiajs/eden'
import { Elysia } from 'elysia'
import { kairan } from 'kairan/elysia'

const make = () =>
  new Elysia()
    .use(kairan({ databaseUrl: '', prefix: '/kairan', identify: () => ({ userId: '1' }) }))
    .get('/own', () => ({ own: true }))

const [url = '', userId = ''] = process.argv.slice(2)
const app = treaty<ReturnType<typeof make>>(url, { headers: { 'x-user': userId } })

const published = await app.kairan.notifications.post({ channel: 'user-9', payload: {} })
// Its user may not publish over HTTP.
const code: string | undefined = published.error?.status === 403 ? published.error.value.code : ''
const inbox = await app.kairan.notifications.get({ query: { limit: 1 } })
const unread: number | undefined = inbox.data?.unread
const { data } = await app.kairan.notifications.tickets.post({})
const ticket: string | undefined = data?.ticket
const refused = await app.kairan.notifications.stream({ id: 'none' }).channels.post({ add: ['a'] })
// @ts-expect-error: there is no such route.
void (() => app.kairan.nothing.get())
// @ts-expect-error: a notification has a payload.
void (() => app.kairan.notifications.post({ channel: 'user-9' }))
const own = () => app.own.get().then(({ data }) => data?.own satisfies boolean | undefined)
void own
console.log(JSON.stringify({ code, unread, ticket: typeof ticket, refused: refused.status }))
