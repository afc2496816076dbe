import type { DescribedOperation, Document } from './document.ts'

/** The description as a page. It has no scripts and loads nothing. */
export const renderDocument = ({ info, paths }: Document) => {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const tags = [...new Set(operations.flatMap(({ operation }) => operation.tags))]
  const sections = tags.map(
    tag =>
      `<h2>${quote(tag)}</h2>${operations
        .filter(({ operation }) => operation.tags.includes(tag))
        .map(({ path, method, operation }) => renderOperation(method, path, operation))
        .join('')}`,
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${quote(info.title)}: the API</title>
<style>${style}</style>
<h1>${quote(info.title)} <small>${quote(info.version)}</small></h1>
<p>${quote(info.summary)}</p>
<p>${inline(info.description)}</p>
<p><a href="openapi.json">openapi.json</a>, OpenAPI 3.2, for programs.</p>
${sections.join('\n')}
</html>
`
}

const renderOperation = (method: string, path: string, operation: DescribedOperation) => `
<details>
<summary><b>${quote(method.toUpperCase())}</b> <code>${quote(path)}</code> <span>${quote(operation.summary)}</span></summary>
${operation.description ? `<p>${inline(operation.description)}</p>` : ''}
<dl>${[
  ...(operation.parameters ?? []).map(
    ({ name, in: where, description = '' }) =>
      `<dt><code>${quote(name)}</code> in ${quote(where)}</dt><dd>${inline(description)}</dd>`,
  ),
  ...(operation.requestBody
    ? [`<dt>Body</dt><dd>${Object.keys(operation.requestBody.content).map(quote).join(', ')}</dd>`]
    : []),
  ...Object.entries(operation.responses).map(
    ([status, { description, content = {} }]) =>
      `<dt>${quote(status)}</dt><dd>${inline(description ?? 'A problem, with a code.')} ${Object.keys(content).map(quote).join(', ')}</dd>`,
  ),
].join('')}</dl>
</details>`

const quote = (text: string) => Bun.escapeHTML(text)

const inline = (text: string) => quote(text).replace(/`([^`]+)`/g, '<code>$1</code>')

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
small, dt { opacity: .7 }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere }
details { border: 1px solid color-mix(in srgb, currentColor 20%, transparent); border-radius: .5rem; margin: .5rem 0; padding: .5rem .8rem }
summary { cursor: pointer }
summary span { opacity: .8 }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .3rem 1rem }
dd { margin: 0; min-width: 0 }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr } dd { margin-bottom: .5rem } }
`
