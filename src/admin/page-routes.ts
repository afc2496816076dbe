import { Elysia } from 'elysia'
import uplotStyle from 'uplot/dist/uPlot.min.css' with { type: 'text' }
import html from '../dashboard/index.html' with { type: 'text' }
import style from '../dashboard/style.css' with { type: 'text' }
import { bundle } from '../http/bundle.ts' with { type: 'macro' }

const script = bundle('../dashboard/main.tsx')

/**
 * `GET /dashboard`: the operator's page. `GET /` redirects to it when it `isHome`. The page itself holds no data and is
 * the same for everybody: it reads what it shows from `/admin/…`. All its addresses are relative, so that a proxy may
 * serve it below another path.
 */
export const dashboardRoutes = ({ isHome }: { isHome: boolean }) => {
  const app = new Elysia({ name: 'dashboard' })
    .get('/dashboard', () => file(String(html), 'text/html'))
    .get('/dashboard.js', () => file(script, 'text/javascript'))
    .get('/dashboard.css', () => file(`${uplotStyle}\n${style}`, 'text/css'))
  if (!isHome) return app
  return app.get('/', ({ path, redirect }) => {
    // Below a prefix the path may have no slash at its end: then its last part would be replaced.
    const last = path.slice(path.lastIndexOf('/') + 1)
    return redirect(last === '' ? 'dashboard' : `${last}/dashboard`)
  })
}

const file = (text: string, type: string) =>
  new Response(text, {
    headers: {
      'content-type': `${type}; charset=utf-8`,
      'cache-control': 'no-cache',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; " +
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    },
  })
