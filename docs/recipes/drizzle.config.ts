import { defineConfig } from 'drizzle-kit'

// biome-ignore lint/style/noDefaultExport: drizzle-kit wants it so.
export default defineConfig({
  dialect: 'postgresql',
  schema: './drizzle.schema.ts',
  // The default, said aloud: with 'kairan' in it, push would drop Kairan's tables.
  schemaFilter: ['public'],
  dbCredentials: { url: process.env.DATABASE_URL ?? '' },
})
