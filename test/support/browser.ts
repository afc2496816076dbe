import { afterAll } from 'bun:test'
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type LaunchOptions,
} from 'playwright-core'

const path =
  process.env.CHROMIUM_PATH ||
  ['/usr/bin/chromium', 'chromium', 'chromium-browser', 'google-chrome']
    .map(name => Bun.which(name))
    .find(found => found !== null)

/** Browser tests are skipped where no browser is installed, but never in CI. */
export const withoutBrowser = path === undefined && !process.env.CI
if (withoutBrowser) console.warn('No Chromium: set CHROMIUM_PATH to run the browser tests.')

/** What the tests of a file do with a browser. */
export type TestBrowser = AsyncDisposable & Pick<Browser, 'newContext' | 'newPage' | 'close'>

/** By their options: a start costs half a second of a core, and a file has up to nine tests. */
const launched = new Map<string, Promise<Browser>>()

afterAll(async () => {
  const browsers = await Promise.all(launched.values())
  launched.clear()
  await Promise.all(browsers.map(one => one.close()))
})

/**
 * A headless Chromium, one process for all tests of a file. Each context has its own storage, workers and
 * connections; those of the scope are closed at its end.
 */
export const browser = async (options: LaunchOptions = {}): Promise<TestBrowser> => {
  const key = JSON.stringify(options)
  const launching = launched.get(key) ?? launch(options)
  launched.set(key, launching)
  const shared = await launching
  const contexts: BrowserContext[] = []
  const newContext = async (more?: BrowserContextOptions) => {
    const context = await shared.newContext(more)
    contexts.push(context)
    return context
  }
  const close = async () => {
    await Promise.all(contexts.map(context => context.close()))
  }
  return {
    newContext,
    newPage: async more => (await newContext(more)).newPage(),
    close,
    [Symbol.asyncDispose]: close,
  }
}

const launch = async (options: LaunchOptions): Promise<Browser> => {
  if (path === undefined) throw new Error('There is no Chromium: install it, or set CHROMIUM_PATH.')
  return chromium.launch({
    ...options,
    executablePath: path,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}
