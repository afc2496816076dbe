import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../test/support/port.ts'
import { isReady } from '../../test/support/process.ts'
import { install } from '../support/apt.ts'
import { type Peer, started } from '../support/peer.ts'
import { pinned } from '../support/readers.ts'

/** nchan (nginx, C) with one worker, as in Debian's package libnginx-mod-nchan. */
export const nchan = async (): Promise<Peer | null> => {
  const module = '/usr/lib/nginx/modules/ngx_nchan_module.so'
  if (!(await Bun.file(module).exists())) await install('nginx', 'libnginx-mod-nchan')
  if (!(await Bun.file(module).exists())) return null
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'kairan-nchan-'))
  const config = join(directory, 'nginx.conf')
  await Bun.write(
    config,
    `load_module ${module};
    daemon off; master_process off; worker_rlimit_nofile 60000; pid ${directory}/pid; error_log stderr crit;
    events { worker_connections 50000; }
    http {
      access_log off; client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy;
      fastcgi_temp_path ${directory}/fastcgi; uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
      nchan_shared_memory_size 256M;
      server {
        listen 127.0.0.1:${port} backlog=4096; keepalive_requests 100000000;
        location = / { return 200; }
        location = /sub { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest; }
        location = /pub { nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 20000; nchan_message_timeout 5m; }
      }
    }`,
  )
  const url = `http://127.0.0.1:${port}`
  const peer = await started('nchan', [...pinned(0), 'nginx', '-c', config], url, () =>
    isReady(url, '/'),
  )
  return {
    ...peer,
    path: '/sub',
    publish: (count, text) => publish(port, count, text),
    async [Symbol.asyncDispose]() {
      await peer[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Sends all requests on one connection without waiting for answers, so that the publisher is not the bottleneck. */
const publish = async (port: number, count: number, text: string) => {
  const socket = connect(port, '127.0.0.1')
  const request = `POST /pub HTTP/1.1\r\nhost: bench\r\ncontent-length: ${text.length}\r\n\r\n${text}`
  let answers = 0
  const done = Promise.withResolvers<void>()
  socket.on('data', data => {
    answers += data.toString('latin1').split('HTTP/1.1 ').length - 1
    if (answers >= count) done.resolve()
  })
  socket.on('error', done.reject)
  socket.write(request.repeat(count))
  await done.promise
  socket.destroy()
}
