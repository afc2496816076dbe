/** Kairan is loaded as it is, not put into a bundle. */
const config = { serverExternalPackages: ['kairan'] }

// biome-ignore lint/style/noDefaultExport: Next.js asks for it.
export default config
