/** SQL and styles are imported as text, so that they are inside the compiled binary. */
declare module '*.sql' {
  const text: string
  // biome-ignore lint/style/noDefaultExport: it is how a text import is typed.
  export default text
}
declare module '*.css' {
  const text: string
  // biome-ignore lint/style/noDefaultExport: it is how a text import is typed.
  export default text
}
