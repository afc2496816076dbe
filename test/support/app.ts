import { bundle, smallBundle } from '../../src/http/bundle.ts'
import { tokenWith } from './publish.ts'

/**
 * Serves a page of an app on another origin, which uses the browser client with a token. Its query has `service`, `user`,
 * `list` to start with the inbox, `listen` to start with listening to a channel (in `window.heard`), and `options` of the client as JSON. Its events are in `window.seen`, also after page
 * loads of the tab; the client is `window.client`, and the control events are in `window.controls`.
 */
export const serveApp = async () => {
  // As it is served: names of the client's parts are shortened, too.
  const client = smallBundle('../client/index.ts')
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    routes: {
      '/': new Response(page, { headers: { 'content-type': 'text/html' } }),
      '/elsewhere': new Response('<title>Elsewhere</title>', {
        headers: { 'content-type': 'text/html' },
      }),
      '/client.js': new Response(client, { headers: { 'content-type': 'text/javascript' } }),
      '/favicon.ico': new Response(null, { status: 204 }),
      '/react.js': () =>
        new Response(bundle('../../test/support/react-app.ts', []), {
          headers: { 'content-type': 'text/javascript' },
        }),
      '/react': new Response(
        '<div id="root"></div><script type="module" src="/react.js"></script>',
        {
          headers: { 'content-type': 'text/html' },
        },
      ),
      // The bell brings its looks to pages that allow no other style than their own.
      '/bell': new Response(bellPage, {
        headers: { 'content-type': 'text/html', 'content-security-policy': bellPolicy },
      }),
      '/token': async request => {
        const { searchParams } = new URL(request.url)
        const seconds = Number(searchParams.get('seconds') ?? 3600)
        const sub = searchParams.get('user')
        const exp = Math.floor(Date.now() / 1000) + seconds
        return new Response(await tokenWith({ sub, exp, 'kairan:subscribe': ['run-*'] }))
      },
    },
  })
  const origin = `http://127.0.0.1:${server.port}`
  return {
    origin,
    /** The address of the page for a user of a service. */
    url(service: string, user: string, options: object = {}) {
      const query = { service, user, options: JSON.stringify({ key: user, ...options }) }
      return `${origin}/?${new URLSearchParams(query)}`
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

const bellStyle =
  ':root { color-scheme: light dark } header { display: flex; justify-content: end }'
const bellPolicy = `style-src 'sha256-${new Bun.CryptoHasher('sha256').update(bellStyle).digest('base64')}'`
const bellPage = `<!doctype html><html lang="en">
<meta name="viewport" content="width=device-width"><title>Bell</title>
<style>${bellStyle}</style>
<header><h1>Shop</h1><kairan-bell id="bell" limit="3"></kairan-bell></header>
<main><button id="after">After</button></main>
<script type="module">
const query = new URLSearchParams(location.search)
bell.setAttribute('url', query.get('service'))
bell.setAttribute('mark', query.get('mark') ?? 'click')
await import(query.get('service') + '/client/element.js')
bell.auth = async () => (await fetch('/token?user=42')).text()
</script>
`

const page = `<!doctype html>
<title>App</title>
<script type="module">
import { createNotifications } from '/client.js'
const query = new URLSearchParams(location.search)
const [service, user] = [query.get('service'), query.get('user')]
window.seen = JSON.parse(sessionStorage.seen ?? '[]')
window.controls = []
window.states = []
window.tokens = 0
window.client = createNotifications({
  url: service,
  auth: async () => {
    window.tokens++
    return (await fetch('/token?user=' + user + '&seconds=' + (window.seconds ?? 3600))).text()
  },
  ...JSON.parse(query.get('options')),
})
// Like an app that shows the inbox: the stream has to start where this page was read.
if (query.has('list')) client.list({ limit: 100 }).then(page => { window.page = page })
if (query.has('listen')) {
  window.heard = []
  client.channel(query.get('listen')).on('*', ({ payload }) => heard.push(payload.n))
}
client.on('*', ({ payload, replayed, cursor, channel, id }) => {
  seen.push({ n: payload.n, replayed, cursor, channel, id })
})
addEventListener('pagehide', () => { sessionStorage.seen = JSON.stringify(seen) })
for (const type of ['ready', 'gap', 'read', 'unread', 'replaced', 'revoked', 'reconnect']) {
  client.onControl(type, control => controls.push(control))
}
client.subscribe(() => states.push([client.state.status, client.state.reason].join(' ')))
</script>
`
