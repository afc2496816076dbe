/** The API's description is imported as data, so that it is inside the compiled binary. */
declare module '*.yaml' {
  const data: import('./document.ts').Document
  // biome-ignore lint/style/noDefaultExport: it is how a data import is typed.
  export default data
}
