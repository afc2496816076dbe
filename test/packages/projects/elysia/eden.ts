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
const refused = await app.kairan.notifications
  .stream({ streamId: 'none' })
  .channels.post({ add: ['a'] })
const channel: string | undefined = inbox.data?.notifications[0]?.payload.metadata.deliveryChannel
const codes: 'token_missing' | 'unavailable' | string | undefined = inbox.error?.value.code
void [channel, codes]
void (() => app.kairan.notifications.read.post({ upTo: inbox.data?.cursor ?? '' }))
void (() => app.kairan.notifications({ id: 'none' }).delete())
// @ts-expect-error: all is true, or left out.
void (() => app.kairan.notifications.read.post({ all: false }))
// @ts-expect-error: a limit is a number.
void (() => app.kairan.notifications.get({ query: { limit: 'all' } }))
// @ts-expect-error: a notification goes to a channel, or to several, not both.
void (() => app.kairan.notifications.post({ channel: 'a', channels: ['b'], payload: {} }))
// @ts-expect-error: there is no such route.
void (() => app.kairan.nothing.get())
// @ts-expect-error: a notification has a payload.
void (() => app.kairan.notifications.post({ channel: 'user-9' }))
const own = () => app.own.get().then(({ data }) => data?.own satisfies boolean | undefined)
void own
console.log(JSON.stringify({ code, unread, ticket: typeof ticket, refused: refused.status }))
