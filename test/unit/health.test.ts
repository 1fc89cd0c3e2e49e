import type { Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { serveHealth } from '../../worker/health.ts';

let server: Server;
beforeAll(async () => {
  server = await serveHealth({ host: '127.0.0.1', port: 0 }, () => Promise.resolve('not yet'));
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

/** Sends a request as it is, because `fetch` would correct its path. Returns the status code of the answer. */
async function get(path: string): Promise<number> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n`);
  const answer = await text(socket);
  return Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1]);
}

it.each([
  ['/livez', 200],
  ['/livez?verbose', 200],
  ['/readyz', 503],
  ['/', 404],
  // Not valid as a URL, which must not end the worker.
  ['//', 404],
  ['//[', 404],
])('answers a request of %s', async (path, status) => {
  const answered = await get(path);

  expect(answered).toBe(status);
});
