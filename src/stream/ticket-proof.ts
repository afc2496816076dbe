import { type Cursor, formatCursor } from '../log/cursor.ts'

/**
 * What a browser sends back in Last-Event-ID: the cursor, and on a stream that a ticket has opened also
 * its proof, `<cursor>-<proof>`; before the first cursor `new-<proof>` or `new-0-<proof>`.
 */
export const splitProof = (
  lastEventId: string,
): { cursor: string | null; proof: string | null } => {
  const [, cursor, proof] = /^(.+)-([0-9a-f]{30})$/.exec(lastEventId) ?? []
  if (cursor === undefined || proof === undefined) return { cursor: lastEventId, proof: null }
  return { cursor: /^new(-0)?$/.test(cursor) ? null : cursor, proof }
}

/** The first id of a stream with a proof, so that a client which is cut off before any event has it. */
export const proofFrame = (cursor: Cursor | null, proof: string) =>
  encoder.encode(`id: ${cursor ? formatCursor(cursor) : 'new'}-${proof}\n\n`)

/**
 * The same for a block that has data: Firefox forgets the id of one that has none, and WebKit takes it only
 * with the next one that has some.
 */
export const proofId = (cursor: Cursor | null, proof: string) =>
  `${cursor ? formatCursor(cursor) : 'new-0'}-${proof}`

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
    yield isFirst ? withFirstId(stamped, cursor, proof) : stamped
    isFirst = false
  }
}

/** The opening ends with the ping, which has data: its id is the first that a browser can know. */
const withFirstId = (opening: Uint8Array, cursor: Cursor | null, proof: string) =>
  Buffer.concat([
    opening.subarray(0, -1),
    encoder.encode(`id: ${proofId(cursor, proof)}\n\n`),
    proofFrame(cursor, proof),
  ])

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
