/** A quantile of the values. */
export const quantile = (values: number[], share: number) => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export const median = (values: number[]) => quantile(values, 0.5)

/** How often each thing is measured. The result is the median. */
export const runs = Number(process.env.RUNS ?? 5)

/** As above, for measurements that take many seconds each. */
export const fewRuns = Math.min(runs, 3)

/** Measures `runs` times, one after the other. */
export const measured = async (measure: (run: number) => Promise<number>) => {
  const values: number[] = []
  for (let run = 0; run < runs; run++) values.push(await measure(run))
  return { values, median: median(values) }
}

/** Prints rows in columns: the first one aligned left, the others right. */
export const printTable = (header: string[], rows: string[][]) => {
  const widths = header.map((_, column) =>
    Math.max(...[header, ...rows].map(row => row[column]?.length ?? 0)),
  )
  const line = (cells: string[]) =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
  for (const row of [header, widths.map(width => '-'.repeat(width)), ...rows]) {
    console.log(line(row))
  }
}
