import { type Cursor, formatCursor } from '../log/cursor.ts'

/**
 * What a browser sends back in Last-Event-ID: the cursor, and on a stream that a ticket has opened also
 * its proof, `<cursor>-<proof>`; before the first cursor `new-<proof>`.
 */
export const splitProof = (
  lastEventId: string,
): { cursor: string | null; proof: string | null } => {
  const [, cursor, proof] = /^(.+)-([0-9a-f]{30})$/.exec(lastEventId) ?? []
  if (cursor === undefined || proof === undefined) return { cursor: lastEventId, proof: null }
  return { cursor: cursor === 'new' ? null : cursor, proof }
}

/** The first id of a stream with a proof, so that a browser which is cut off before any event has it. */
export const proofFrame = (cursor: Cursor | null, proof: string) =>
  encoder.encode(`id: ${cursor ? formatCursor(cursor) : 'new'}-${proof}\n\n`)

/**
 * Adds the proof to every id of a stream. The frames themselves are shared by all connections; a copy
 * with this proof exists only while it is written.
 */
export async function* withProof(
  frames: AsyncGenerator<Uint8Array, void>,
  cursor: Cursor | null,
  proof: string,
): AsyncGenerator<Uint8Array, void> {
  const suffix = Buffer.from(`-${proof}`)
  let isFirst = true
  for await (const bytes of frames) {
    const stamped = addToIds(bytes, suffix)
    yield isFirst ? Buffer.concat([stamped, proofFrame(cursor, proof)]) : stamped
    isFirst = false
  }
}

/** No data can be taken for an id: JSON has no line ends in it. */
const addToIds = (bytes: Uint8Array, suffix: Uint8Array) => {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const pieces: Uint8Array[] = []
  let from = 0
  for (let at = firstId(source); at >= 0; at = nextId(source, from)) {
    const end = source.indexOf('\n', at)
    pieces.push(source.subarray(from, end), suffix)
    from = end
  }
  return from === 0 ? bytes : Buffer.concat([...pieces, source.subarray(from)])
}

const firstId = (source: Buffer) =>
  source.toString('latin1', 0, 4) === 'id: ' ? 0 : nextId(source, 0)

const nextId = (source: Buffer, from: number) => {
  const found = source.indexOf('\nid: ', from)
  return found < 0 ? found : found + 1
}

const encoder = new TextEncoder()
