import { Elysia } from 'elysia'
import { bundle } from './bundle.ts' with { type: 'macro' }

/** What browsers import, bundled when this file is compiled: the binary has no source to bundle. */
const files = {
  '/client.js': bundle('../client/index.ts'),
  '/client/react.js': bundle('../client/react.ts'),
}

/**
 * `GET /client.js`, the browser client, and `GET /client/react.js`, its hooks, as ES modules. They are no
 * secret, so pages of any origin may import them.
 */
export const clientRoutes = () => {
  const app = new Elysia({ name: 'client' })
  for (const [path, text] of Object.entries(files)) {
    const etag = `"${Bun.hash(text).toString(36)}"`
    const headers = {
      'content-type': 'text/javascript; charset=utf-8',
      // Asked for again at each load, and sent again only when the service was updated.
      'cache-control': 'public, no-cache',
      etag,
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      'x-content-type-options': 'nosniff',
    }
    app.get(path, ({ request }) => {
      const known = request.headers.get('if-none-match')?.split(/, */) ?? []
      const isFresh = known.some(tag => tag.replace(/^W\//, '') === etag)
      return isFresh
        ? new Response(null, { status: 304, headers })
        : new Response(text, { headers })
    })
  }
  return app
}
