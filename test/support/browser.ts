import { type Browser, chromium, type LaunchOptions } from 'playwright-core'

const path =
  process.env.CHROMIUM_PATH ||
  ['/usr/bin/chromium', 'chromium', 'chromium-browser', 'google-chrome']
    .map(name => Bun.which(name))
    .find(found => found !== null)

/** Browser tests are skipped where there is no browser, but never in CI. */
export const withoutBrowser = path === undefined && !process.env.CI
if (withoutBrowser) console.warn('No Chromium: set CHROMIUM_PATH to run the browser tests.')

/** A headless Chromium. It is closed at the end of the scope. */
export const browser = async (options: LaunchOptions = {}): Promise<Browser> => {
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
