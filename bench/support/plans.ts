import type { Sql } from '../../src/postgres/connect.ts'

/** The plan of a statement: its text, and the largest number of blocks that it touched. */
export type Plan = {
  statement: string
  blocks: number
  scansTable: boolean
  /** Whether it used parallel workers. */
  parallel: boolean
}

/** Lets new sessions write the plans of all statements into the server's log. */
export const explainAll = (sql: Sql) =>
  sql.unsafe(
    Object.entries({
      session_preload_libraries: 'auto_explain',
      'auto_explain.log_min_duration': '0',
      'auto_explain.log_analyze': 'on',
      'auto_explain.log_timing': 'off',
      'auto_explain.log_buffers': 'on',
      'auto_explain.log_nested_statements': 'on',
      'auto_explain.log_parameter_max_length': '0',
    })
      .map(([name, value]) => `alter role current_user set ${name} = '${value}'`)
      .join(';'),
  )

/** The plans in a server's log that touch notifications or deliveries, one for each statement. */
export const plansIn = (log: string) => {
  const plans = new Map<string, Plan>()
  // The lines of an entry after its first begin with a tab.
  for (const entry of log.split(/^(?!\t)/m)) {
    const [, text, plan] = /\tQuery Text: (.*?)\n(\t[^\n]*\(cost=.*)/s.exec(entry) ?? []
    if (!text || !plan || !/ on (notifications|numbered)\b/.test(plan)) continue
    const [, hit, read = 0] = /Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?/.exec(plan) ?? []
    const whole = text.replace(/\s+/g, ' ').trim()
    // Two of the statements begin alike.
    const statement = whole.includes("status = 'pending'") ? `[pending] ${whole}` : whole
    const before = plans.get(statement)
    plans.set(statement, {
      statement,
      blocks: Math.max(before?.blocks ?? 0, Number(hit ?? 0) + Number(read)),
      scansTable:
        before?.scansTable === true || /Seq Scan on (notifications|numbered)\b/.test(plan),
      parallel: before?.parallel === true || plan.includes('Workers Launched'),
    })
  }
  return plans
}
