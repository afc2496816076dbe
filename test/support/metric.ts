/** What `/metrics` says of a name, with its labels if it has some; NaN while it says nothing. */
export const metricOf = async ({ url }: { url: string }, name: string) => {
  const text = await (await fetch(`${url}/metrics`)).text()
  const line = text.split('\n').find(line => line.startsWith(`${name} `))
  return Number(line?.split(' ').at(-1))
}
