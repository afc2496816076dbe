/** The blocks of a stream, as they come, without the empty lines between them. */
export async function* blocksOf({ body }: Response) {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body ?? []) {
    const blocks = (rest + decoder.decode(bytes, { stream: true })).split('\n\n')
    rest = blocks.pop() ?? ''
    yield* blocks
  }
}
