import { createServer, type Server } from 'node:http';
import type { ListenAddress } from '../temporal/listen-address.ts';

/**
 * Serves `/livez` (the process runs) and `/readyz` (the worker accepts work), each with 200 or 503 and one line with
 * the reason.
 * @param notReady returns the reason why the worker accepts no work; undefined when it does.
 */
export async function serveHealth(
  address: ListenAddress,
  notReady: () => Promise<string | undefined>
): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://health');
    const say = (status: number, text: string): void => {
      response.writeHead(status, { 'Content-Type': 'text/plain' }).end(`${text}\n`);
    };
    if (pathname === '/livez') return say(200, 'ok');
    if (pathname !== '/readyz') return say(404, 'only /livez and /readyz are answered');
    notReady().then(
      (why) => say(why === undefined ? 200 : 503, why ?? 'ok'),
      (error: unknown) => say(503, error instanceof Error ? error.message : String(error))
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  return server;
}
