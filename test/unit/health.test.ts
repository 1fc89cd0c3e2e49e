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

/** Sends bytes that need not be a request, and waits for the end of the connection. */
async function send(bytes: string): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.end(bytes);
  return text(socket).catch(() => '');
}

it.each([
  ['nothing', ''],
  ['no HTTP', '\u0000\u0001\u0002\r\n\r\n'],
  ['an absolute URL that is none', 'GET http:// HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'],
  ['a method that does not exist', 'BREW /livez HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['an upgrade', 'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
  ['a header that is too long', `GET /livez HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`],
  ['a body that is cut off', 'POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx'],
  ['an expectation', 'GET /livez HTTP/1.1\r\nHost: x\r\nExpect: everything\r\nConnection: close\r\n\r\n'],
  ['many requests at once', 'GET //%%% HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(200)],
])('survives %s', async (_title, bytes) => {
  await send(bytes);

  expect(await get('/livez')).toBe(200);
});

it('asks once for all requests that wait', async () => {
  let questions = 0;
  let answer: (problem: string) => void = () => undefined;
  const slow = await serveHealth({ host: '127.0.0.1', port: 0 }, () => {
    questions++;
    return new Promise((resolve) => (answer = resolve));
  });
  const url = `http://127.0.0.1:${(slow.address() as AddressInfo).port}/readyz`;
  let received = 0;
  slow.on('request', () => {
    received++;
    if (received === 20) setImmediate(() => answer('a\nforged\u001b[31m line'));
  });

  const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(url)));

  expect(questions).toBe(1);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
  expect(await answers[0]?.text()).toBe('a forged\ufffd[31m line\n');
  slow.closeAllConnections();
  await new Promise((resolve) => slow.close(resolve));
});

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
