import { defineConfig } from 'prisma/config'

// biome-ignore lint/style/noDefaultExport: Prisma wants it so.
export default defineConfig({ schema: 'prisma/schema.prisma' })
