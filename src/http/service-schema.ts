import { type Operations, operation } from './operation.ts'
import { among, t } from './schema.ts'

/** What `/readyz` says for each kind of reason: anybody may ask it. */
export const publicReasons: Readonly<Record<string, string>> = {
  starting: 'starting',
  draining: 'draining',
  database: 'database: the log can not be used now',
  listen: 'listen: no NOTIFY arrives',
}

/** The same for what does not work and is not needed. */
export const publicNotes: Readonly<Record<string, string>> = {
  relay: 'relay: no message of another instance arrives, so the table is read',
}

/** What it says for any other reason. */
export const otherReason = 'not ready'

const ok = t.Object({ status: t.Literal('ok') }, { additionalProperties: false })

const ready = t.Object(
  {
    status: t.Literal('ok'),
    notes: t.Optional(
      t.Array(among([...Object.values(publicNotes), otherReason]), { minItems: 1 }),
    ),
  },
  { additionalProperties: false },
)

const unready = t.Object(
  {
    status: t.Literal('unavailable'),
    reasons: t.Array(among([...Object.values(publicReasons), otherReason]), { minItems: 1 }),
  },
  { additionalProperties: false },
)

/** The files of the browser client, and what each is. */
const clientFiles = {
  '/client.js': 'The browser client, an ES module',
  '/client/element.js': 'The bell, `<kairan-bell>`',
  '/client/inbox.js': 'An inbox without looks',
  '/client/react.js': 'React hooks',
  '/client/svelte.js': 'Stores for Svelte',
  '/client/vue.js': 'Functions for Vue',
}

/** The path of a file of the browser client. */
export type ClientFile = keyof typeof clientFiles

const clientOperation = (path: string, summary: string) =>
  operation({
    tag: 'Streams',
    // Like `clientReact`.
    id: path.slice(1, -'.js'.length).replace(/\/(\w)/, (_, letter) => letter.toUpperCase()),
    summary,
    isPublic: true,
    answers: {
      200: {
        description: 'For pages of any origin.',
        type: 'text/javascript',
        schema: t.String(),
      },
      304: { description: 'Not changed.' },
    },
  })

export const clientOperations: Operations = Object.fromEntries(
  Object.entries(clientFiles).map(([path, summary]) => [
    `GET ${path}`,
    clientOperation(path, summary),
  ]),
)

/** What the routes that are no room's read and answer: health, metrics, and this description. */
export const serviceOperations = {
  'GET /livez': operation({
    tag: 'Operating',
    id: 'livez',
    summary: 'Whether the process answers',
    isPublic: true,
    answers: { 200: { description: 'The process answers.', schema: ok } },
  }),
  'GET /readyz': operation({
    tag: 'Operating',
    id: 'readyz',
    summary: 'Whether this instance should get traffic',
    isPublic: true,
    answers: {
      200: {
        description: 'The instance is ready. `notes` says what is not needed and does not work.',
        schema: ready,
      },
      503: { description: 'The instance is not ready, for these reasons.', schema: unready },
    },
  }),
  'GET /metrics': operation({
    tag: 'Operating',
    id: 'metrics',
    summary: 'Metrics for Prometheus',
    isPublic: true,
    answers: {
      200: {
        description: 'In the Prometheus text format.',
        type: 'text/plain',
        schema: t.String(),
      },
    },
  }),
  'GET /openapi.json': operation({
    tag: 'Operating',
    id: 'openapi',
    summary: 'This description',
    isPublic: true,
    answers: { 200: { description: 'OpenAPI 3.2.', schema: t.Object({}) } },
  }),
  'GET /openapi': operation({
    tag: 'Operating',
    id: 'openapiPage',
    summary: 'This description as a page',
    isPublic: true,
    answers: { 200: { description: 'A page.', type: 'text/html', schema: t.String() } },
  }),
}
