import { Context } from '@temporalio/activity';
import { request } from 'undici';
import type { LedgerPage } from '../../model/ledger.ts';
import { breachText, findBreaches, tunnelSuspicion, type Gates } from '../../model/gates.ts';
import { tunnelPortOf } from '../cilium/agents.ts';
import { failure } from '../support/failures.ts';
import { summarizeLines, summarizeList } from '../../model/summarize.ts';
import type { ClusterConnection, Clusters } from '../kubernetes/connection.ts';
import { withFailures } from '../kubernetes/errors.ts';
import { listNodes } from '../kubernetes/nodes.ts';
import { isReady } from '../kubernetes/conditions.ts';
import { poll } from '../support/poll.ts';
import { askForPages, readMarks, readPages, readPagesAround, readPagesOf } from './ledger.ts';

/** Input of `checkGates`. */
export interface GateTarget {
  cluster: string;
  gates: Gates;
  /** Start of the period that is evaluated (Unix, ms). */
  sinceMs: number;
  /**
   * Nodes whose paths are evaluated.
   * @default all
   */
  nodes?: string[];
}

/**
 * Maximum time that probers may take to write their current results, in ms: twice the write interval with 5,000 nodes,
 * and a shorter limit for small clusters.
 */
const writtenMs = 200_000;
const writtenOnSmallMs = 30_000;

/** Number of attempts before an external objection counts, the timeout of each, and the pause between them, in ms. */
const outsideTries = 3;
const outsideMs = 10_000;
const outsidePauseMs = 2_000;

/**
 * Maximum number of nodes whose probers are asked to write at once, and the interval between polls in that case, in ms.
 */
const askedNodes = 20;
const askedEveryMs = 500;

/** Interval between polls, in ms. All pages of a large cluster are read less often. */
const everyMs = 2_000;
const largeCluster = 100;
const everyOnLargeMs = 20_000;

/** Maximum number of breaches that are listed. */
const maxTold = 10;

/** Creates the activity that evaluates the gates. */
export function createGateActivities(clusters: Clusters) {
  return {
    /**
     * Checks that no path was without a reply for longer than tolerated, and that the external gates agree.
     * @throws GateBreached with the evidence, and with the likely cause of the pattern of broken paths.
     */
    checkGates: withFailures('check the gates', async (target: GateTarget): Promise<void> => {
      const { gates, nodes, sinceMs } = target;
      const connection = await clusters.connect(target.cluster);
      const { pages, silent } = await untilWritten(connection, nodes);
      const { before } = await readMarks(connection);
      const baseline = { fromMs: before?.fromMs ?? 0, toMs: before?.atMs ?? 0 };
      const untilMs = Math.max(Date.now(), ...pages.map(({ atMs }) => atMs));
      const breaches = findBreaches(pages, { gates, sinceMs, untilMs, baseline, ...(nodes && { nodes }) });
      const lines = summarizeLines(breaches.map(breachText), maxTold, 'paths');
      lines.push(...silent.map((node) => `the probers on ${node} do not write their ledger any more`));
      lines.push(...(await askOutside(gates)));
      countVerdict(target.cluster, lines.length === 0 ? 'pass' : 'breach');
      if (lines.length === 0) return;
      const cause = tunnelSuspicion(pages, await tunnelPortOf(connection), untilMs);
      throw failure('GateBreached', [...(cause === undefined ? [] : [cause]), ...lines].join('\n'));
    }),
  };
}

/** Counts passed and breached gates for the worker's metrics. */
function countVerdict(cluster: string, verdict: 'pass' | 'breach'): void {
  const { metricMeter } = Context.current();
  metricMeter.createCounter('cni_migration_gates', undefined, 'gates that were looked at').add(1, { cluster, verdict });
}

/**
 * Waits until the probers of the nodes have written their current results, and returns the nodes whose probers have
 * not. When nodes are given, reads only their own pages, and at the end their neighbours' pages, because a large
 * cluster has many pages.
 */
async function untilWritten(
  connection: ClusterConnection,
  nodes: readonly string[] | undefined
): Promise<{ pages: LedgerPage[]; silent: string[] }> {
  const read = () => (nodes === undefined ? readPages(connection) : readPagesOf(connection, nodes));
  const keyOf = ({ node, role }: LedgerPage): string => `${node} ${role}`;
  const first = await read();
  const begin = new Map(first.map((page) => [keyOf(page), page.atMs]));
  const asked = nodes ?? (await presentOf(connection, first));
  const soon = asked.length <= askedNodes;
  if (soon) await askForPages(connection, asked);
  const deadline = Date.now() + (await longestMs(connection));
  const silent = await poll(
    async () => {
      const written = new Set((await read()).filter((page) => page.atMs > (begin.get(keyOf(page)) ?? 0)).map(keyOf));
      const missing = asked.filter((node) => !written.has(`${node} pod`) || !written.has(`${node} host`));
      return missing.length === 0 || Date.now() > deadline
        ? { done: missing }
        : { waitingFor: `the probers on ${summarizeList(missing)} to write their ledger` };
    },
    {
      timeoutMs: writtenMs + 60_000,
      intervalMs: soon ? askedEveryMs : asked.length > largeCluster ? everyOnLargeMs : everyMs,
      onTimeout: 'GateBreached',
    }
  );
  return { pages: nodes === undefined ? await read() : await readPagesAround(connection, nodes), silent };
}

/** Returns the Ready nodes that have pages. Nodes that left or are not Ready no longer write. */
async function presentOf(connection: ClusterConnection, pages: readonly LedgerPage[]): Promise<string[]> {
  const known = new Set(pages.map(({ node }) => node));
  const nodes = await listNodes(connection);
  return nodes
    .filter((node) => isReady(node) && known.has(node.metadata?.name ?? ''))
    .map(({ metadata }) => metadata?.name ?? '');
}

/** Returns the maximum time that probers may take to write, in ms; it depends on the number of nodes. */
async function longestMs({ core }: ClusterConnection): Promise<number> {
  const { items, metadata } = await core.listNode({ limit: largeCluster });
  return items.length + (metadata?.remainingItemCount ?? 0) > largeCluster ? writtenMs : writtenOnSmallMs;
}

/**
 * Evaluates the external gates.
 * @returns the objections of Prometheus and other services.
 */
async function askOutside({ prometheus, http }: Gates): Promise<string[]> {
  const asked = [
    ...prometheus.map(
      ({ url, query, max }) =>
        () =>
          objectionOfPrometheus(url, query, max)
    ),
    ...http.map(
      ({ url }) =>
        () =>
          objectionOfService(url)
    ),
  ];
  const answers = await Promise.all(asked.map((ask) => severalTimes(ask)));
  return answers.filter((answer) => answer !== undefined);
}

async function severalTimes(ask: () => Promise<string | undefined>): Promise<string | undefined> {
  for (let tries = 1; ; tries++) {
    const objection = await ask().catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    if (objection === undefined || tries >= outsideTries) return objection;
    await Context.current().sleep(outsidePauseMs);
  }
}

/**
 * Queries Prometheus' HTTP API for the current value.
 * @returns the objection; undefined when the value is within the limit.
 */
async function objectionOfPrometheus(url: string, query: string, max: number): Promise<string | undefined> {
  const address = new URL('api/v1/query', url.endsWith('/') ? url : `${url}/`);
  address.searchParams.set('query', query);
  const { statusCode, body } = await ask(address);
  const text = await body.text();
  if (statusCode !== 200) return `Prometheus at ${address.host} answers ${query} with status ${statusCode}`;
  type Sample = [time: number, value: string];
  const { data } = JSON.parse(text) as {
    data?: { resultType?: string; result?: Sample | { metric: object; value: Sample }[] };
  };
  const samples = data?.resultType === 'scalar' ? [data.result as Sample] : (data?.result ?? []);
  const values = samples.map((one) => Number((Array.isArray(one) ? one : (one as { value: Sample }).value)[1]));
  const wrong = values.find((value) => !(value <= max));
  return wrong === undefined ? undefined : `Prometheus: ${query} is ${wrong}, at most ${max} is allowed`;
}

async function objectionOfService(url: string): Promise<string | undefined> {
  const { statusCode, body } = await ask(new URL(url));
  await body.dump();
  const { host, pathname } = new URL(url);
  return statusCode >= 200 && statusCode < 300 ? undefined : `${host}${pathname} answers with status ${statusCode}`;
}

function ask(address: URL) {
  return request(address, { headersTimeout: outsideMs, bodyTimeout: outsideMs });
}
