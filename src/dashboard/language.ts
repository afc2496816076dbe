/**
 * Gives the page a language that Intl accepts, before uPlot is loaded: uPlot formats numbers with `navigator.language`
 * when it is loaded, and a browser that was started with the locale `C` names none that is valid.
 */
const isValid = () => {
  try {
    return Intl.getCanonicalLocales(navigator.language).length > 0
  } catch {
    return false
  }
}

if (!isValid()) Object.defineProperty(navigator, 'language', { value: 'en', configurable: true })
