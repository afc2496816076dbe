import { connect } from 'node:net'
import { database } from './support/database.ts'
import { serve } from './support/service.ts'

await using db = await database()
await using s = await serve(db, process.env.H ? { HOST: process.env.H } : {})
console.log(s.url)
const port = Number(new URL(s.url).port)
const raw = (text: string) =>
  new Promise<string>(r => {
    const c = connect(port, process.env.H === '::' ? '::1' : '127.0.0.1')
    let out = ''
    c.on('data', b => (out += b))
    c.on('close', () => r(out.slice(0, 300)))
    c.on('error', e => r(String(e)))
    c.write(text)
    setTimeout(() => c.destroy(), 700)
  })
for (const t of [
  'GET /readyz HTTP/1.0\r\n\r\n',
  'OPTIONS / HTTP/1.0\r\n\r\n',
  'OPTIONS /readyz HTTP/1.0\r\n\r\n',
  'HEAD /livez HTTP/1.0\r\n\r\n',
  'GET /livez HTTP/1.1\r\n\r\n',
  'GET /notifications/stream HTTP/1.0\r\n\r\n',
  'GET /readyz HTTP/1.1\r\nHost:\r\n\r\n',
  'GET http://x.test/readyz HTTP/1.1\r\nHost: x.test\r\n\r\n',
  'GET /metrics?x=1 HTTP/1.0\r\n\r\n',
  'GET //livez HTTP/1.0\r\n\r\n',
  'GET /readyz HTTP/1.1\r\nHost: evil.test\r\n\r\n',
  'GET /readyz HTTP/1.1\r\nHost: a b\r\n\r\n',
  'GET /readyz/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
  'GET /openapi.json HTTP/1.0\r\n\r\n',
  'POST /notifications HTTP/1.0\r\n\r\n',
])
  console.log(JSON.stringify(t), '\n   ', JSON.stringify(await raw(t)).slice(0, 260))
