import { createServer, type Server } from 'node:http';
import { oneLine } from '../model/printable.ts';
import type { ListenAddress } from '../temporal/listen-address.ts';

/** Time limits of a request, in ms: slow clients keep no connection open. */
const timeouts = { requestTimeout: 10_000, headersTimeout: 5_000, connectionsCheckingInterval: 1_000 };

/**
 * Serves `/livez` (the process runs) and `/readyz` (the worker accepts work), each with 200 or 503 and one line with
 * the reason.
 * @param findProblem returns the reason why the worker accepts no work; undefined when it does.
 */
export async function serveHealth(
  address: ListenAddress,
  findProblem: () => Promise<string | undefined>
): Promise<Server> {
  // One question at a time, however many requests ask it.
  let pending: Promise<string | undefined> | undefined;
  const findProblemOnce = (): Promise<string | undefined> =>
    (pending ??= findProblem().finally(() => (pending = undefined)));
  const server = createServer(timeouts, (request, response) => {
    // Not parsed as a URL: a path such as `//` is not a valid one, and an error here would end the process.
    const [pathname] = (request.url ?? '/').split('?');
    const respond = (status: number, text: string): void => {
      response.writeHead(status, { 'Content-Type': 'text/plain' }).end(`${oneLine(text)}\n`);
    };
    if (pathname === '/livez') return respond(200, 'ok');
    if (pathname !== '/readyz') return respond(404, 'not found; use /livez or /readyz');
    findProblemOnce().then(
      (problem) => respond(problem === undefined ? 200 : 503, problem ?? 'ok'),
      (error: unknown) => respond(503, error instanceof Error ? error.message : String(error))
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  return server;
}
