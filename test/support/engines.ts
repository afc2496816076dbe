/**
 * Pages in the three engines: Chromium by playwright, Firefox by puppeteer, WebKit by WebDriver. An engine that is
 * missing fails the test with what to install, and each is given up after a while.
 */
import puppeteer from 'puppeteer-core'
import { browser } from './browser.ts'
import { eventually } from './eventually.ts'
import { freePort } from './port.ts'

/** A tab. */
export type EnginePage = {
  goto(url: string): Promise<unknown>
  /** The value of an expression, which may be a promise. */
  evaluate<T>(expression: string): Promise<T>
  close(): Promise<unknown>
}

export type Engine = AsyncDisposable & {
  name: EngineName
  /** How many EventSources it opens at a time: WebKit has 17 connections for all. */
  streams: number
  newPage(): Promise<EnginePage>
}

export const engineNames = ['chromium', 'firefox', 'webkit'] as const
export type EngineName = (typeof engineNames)[number]

/** Starts an engine, which is closed at the end of the scope. */
export const engine = (name: EngineName): Promise<Engine> => ({ chromium, firefox, webkit })[name]()

const chromium = async (): Promise<Engine> => {
  const running = await browser()
  const context = await running.newContext()
  return {
    name: 'chromium',
    streams: 30,
    async newPage() {
      const page = await context.newPage()
      return {
        goto: url => page.goto(url),
        evaluate: expression => page.evaluate(expression),
        close: () => page.close(),
      }
    },
    [Symbol.asyncDispose]: () => running.close(),
  }
}

const firefox = async (): Promise<Engine> => {
  const executablePath = process.env.FIREFOX_PATH || need('firefox-esr', 'firefox-esr')
  const running = await puppeteer.launch({
    browser: 'firefox',
    executablePath,
    headless: true,
    timeout: startMs,
    extraPrefsFirefox: {
      // Where a stream is cut before it has said how long to wait, Firefox waits for 5 s.
      'dom.server-events.default-reconnection-time': 1000,
      // Several tests have a tab each, and only one of them is in front: the others are not slowed down.
      'network.http.throttle.enable': false,
      'dom.timeout.enable_budget_timer_throttling': false,
    },
  })
  return {
    name: 'firefox',
    streams: 30,
    async newPage() {
      const page = await running.newPage()
      return {
        goto: url => page.goto(url),
        evaluate: async <T>(expression: string): Promise<T> => {
          const value: T = JSON.parse(
            (await page.evaluate(
              `Promise.resolve(${expression}).then(value => JSON.stringify([value ?? null]))`,
            )) as string,
          )[0]
          return value
        },
        close: () => page.close(),
      }
    },
    [Symbol.asyncDispose]: () => running.close(),
  }
}

/** WebKitGTK shows itself on a screen, so it gets one in memory. */
const webkit = async (): Promise<Engine> => {
  const driver = need('WebKitWebDriver', 'webkit2gtk-driver')
  const screen = need('Xvfb', 'xvfb')
  const binary = [...new Bun.Glob('/usr/lib/*/webkit2gtk-4.1/MiniBrowser').scanSync('/')][0]
  if (!binary) throw missing('MiniBrowser', 'webkit2gtk-driver')
  const port = await freePort()
  const display = Bun.spawn(
    [screen, '-displayfd', '1', '-screen', '0', '800x600x24', '-nolisten', 'tcp'],
    {
      stdout: 'pipe',
      stderr: 'ignore',
    },
  )
  const number = await firstLine(display.stdout)
  const server = Bun.spawn([driver, `--port=${port}`], {
    env: {
      ...process.env,
      DISPLAY: `:${number}`,
      LANG: 'en_US.UTF-8',
      WEBKIT_DISABLE_COMPOSITING_MODE: '1',
      LIBGL_ALWAYS_SOFTWARE: '1',
    },
    stdout: 'ignore',
    stderr: 'ignore',
  })
  const stop = async () => {
    server.kill()
    await server.exited
    display.kill()
    await display.exited
  }
  try {
    const send = sender(`http://127.0.0.1:${port}`)
    await eventually(() => send('GET', '/status').catch(() => null), startMs)
    const capabilities = {
      browserName: 'MiniBrowser',
      'webkitgtk:browserOptions': { binary, args: ['--automation'] },
    }
    const { sessionId } = await send<{ sessionId: string }>('POST', '/session', {
      capabilities: { alwaysMatch: capabilities },
    })
    const session = `/session/${sessionId}`
    const base = await send<string>('GET', `${session}/window`)
    return {
      name: 'webkit',
      streams: 5,
      newPage: () => webkitPage(send, session, base),
      async [Symbol.asyncDispose]() {
        await send('DELETE', session).catch(() => undefined)
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

const webkitPage = async (
  send: ReturnType<typeof sender>,
  session: string,
  /** The tab that it began with: the one that was chosen last may have been closed. */
  base: string,
): Promise<EnginePage> => {
  const { handle } = await inTurn(async () => {
    await send('POST', `${session}/window`, { handle: base })
    return send<{ handle: string }>('POST', `${session}/window/new`, { type: 'window' })
  })
  // One command after the other: they go to the tab that was chosen last.
  const here = <T>(method: string, path: string, body?: object) =>
    inTurn(async () => {
      await send('POST', `${session}/window`, { handle })
      return send<T>(method, `${session}${path}`, body)
    })
  return {
    goto: url => here('POST', '/url', { url }),
    evaluate: expression =>
      here('POST', '/execute/async', {
        // Not by eval, which a page may forbid.
        script: `const done = arguments[arguments.length - 1]
          Promise.resolve().then(() => (${expression})).then(done, error => done(String(error)))`,
        args: [],
      }),
    close: () => here('DELETE', '/window'),
  }
}

let turn: Promise<unknown> = Promise.resolve()
const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
  const mine = turn.then(run)
  turn = mine.catch(() => undefined)
  return mine
}

const sender =
  (base: string) =>
  async <T>(method: string, path: string, body?: object): Promise<T> => {
    const response = await fetch(base + path, {
      method,
      signal: AbortSignal.timeout(startMs),
      ...(body
        ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
        : {}),
    })
    const { value } = await response.json()
    if (!response.ok) throw new Error(`WebDriver ${method} ${path}: ${JSON.stringify(value)}`)
    return value
  }

/** After so long an engine that does not answer is given up. */
const startMs = 40_000

const firstLine = async (stream: ReadableStream<Uint8Array>) => {
  let text = ''
  const decoder = new TextDecoder()
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true })
    if (text.includes('\n')) break
  }
  return text.trim()
}

const need = (command: string, debianPackage: string) => {
  const path = Bun.which(command)
  if (path === null) throw missing(command, debianPackage)
  return path
}

const missing = (command: string, debianPackage: string) =>
  new Error(`There is no ${command}: apt-get install --no-install-recommends ${debianPackage}`)
