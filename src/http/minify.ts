import { minify as terser } from 'terser'

/**
 * What the client's parts call each other: nothing that a page, the service, the browser or another tab knows. Each new
 * name of theirs saves a few bytes here.
 */
const internal =
  /^(onStatus|onFrame|onBytes|isClosed|onMove|isAway|onEvent|onAgain|isExtra|takeControl|moveTo|know|renew|restart|setClock|learn|begin|recount|recountSoon|takeOver|refreshes|putAway|network|shown|onChange|lead|hear|leave|carry|isFinal|isWhole|names|ask|post|yield|listener|call|take|back|stop|start|redraw|host|inbox)$/

/**
 * Makes a bundle for browsers about 5 % smaller, compressed, than Bun's own minifier leaves it. With the source map of
 * the bundle, it returns one that leads to the source.
 */
export const minify = async (
  text: string,
  map?: string,
): Promise<{ code: string; map: string }> => {
  const result = await terser(text, {
    module: true,
    ecma: 2022,
    // A second pass pays; a third, and inlining functions that are called once, make it larger when compressed.
    compress: {
      ...{ passes: 2, inline: 1, unsafe: true, unsafe_arrows: true },
      ...{ lhs_constants: false, unsafe_math: true, pure_getters: true },
    },
    mangle: { properties: { regex: internal, builtins: true } },
    format: { comments: false },
    ...(map !== undefined && { sourceMap: { content: map, includeSources: true } }),
  })
  return { code: result.code ?? '', map: typeof result.map === 'string' ? result.map : '' }
}

// `bun minify.ts < bundle`: a macro can't await it.
if (import.meta.main) process.stdout.write((await minify(await Bun.stdin.text())).code)
