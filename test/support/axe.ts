import axe from 'axe-core'
import type { Page } from 'playwright-core'

/** What axe-core finds wrong with a page: the rule, and what breaks it. */
export const findings = async (page: Page): Promise<string[]> => {
  // Not by a script tag, which a page may forbid.
  await page.evaluate(axe.source)
  return page.evaluate<string[]>(
    `axe.run().then(({ violations }) => violations.map(v => v.id + ': ' + v.nodes.map(n => n.html + n.failureSummary)))`,
  )
}
