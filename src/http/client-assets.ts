import { Elysia } from 'elysia'
import { smallBundle } from './bundle.ts' with { type: 'macro' }
import { type ClientFile, clientOperations } from './service-schema.ts'

/** The files that browsers import. They are bundled when this file is compiled: the binary has no source. */
const files: Record<ClientFile, string> = {
  '/client.js': smallBundle('../client/index.ts'),
  '/client/element.js': smallBundle('../client/element.ts'),
  '/client/inbox.js': smallBundle('../client/inbox.ts'),
  '/client/react.js': smallBundle('../client/react.ts'),
  '/client/svelte.js': smallBundle('../client/svelte.ts'),
  '/client/vue.js': smallBundle('../client/vue.ts'),
}

/**
 * `GET /client.js`, the browser client, and below `/client/` what is built on it, as ES modules. Pages of any origin may
 * import them: nothing in them is secret.
 */
export const clientRoutes = () => {
  const app = new Elysia({ name: 'client' })
  for (const [path, text] of Object.entries(files)) {
    const etag = `"${Bun.hash(text).toString(36)}"`
    const headers = {
      'content-type': 'text/javascript; charset=utf-8',
      // Browsers revalidate it at each load. It is sent again only after the service was updated.
      'cache-control': 'public, no-cache',
      etag,
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      'x-content-type-options': 'nosniff',
    }
    const answer = ({ request }: { request: Request }) => {
      const known = request.headers.get('if-none-match')?.split(/, */) ?? []
      const isFresh = known.some(tag => tag.replace(/^W\//, '') === etag)
      return isFresh
        ? new Response(null, { status: 304, headers })
        : new Response(text, { headers })
    }
    app.get(path, answer, { detail: clientOperations[`GET ${path}`]?.detail ?? {} })
  }
  return app
}
