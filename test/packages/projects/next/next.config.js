/** Kairan is loaded as it is, not put into a bundle. */
const config = {
  serverExternalPackages: ['kairan'],
  // The project is typed with the others.
  typescript: { ignoreBuildErrors: true },
}

// biome-ignore lint/style/noDefaultExport: Next.js asks for it.
export default config
