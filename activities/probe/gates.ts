import { Context } from '@temporalio/activity';
import { request } from 'undici';
import type { LedgerPage } from '../../model/ledger.ts';
import { breachText, findBreaches, tunnelSuspicion, type Gates } from '../../model/gates.ts';
import { readTunnelPort } from '../cilium/agents.ts';
import { failure } from '../support/failures.ts';
import { summarizeLines, summarizeList } from '../../model/summarize.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { listNodes } from '../kubernetes/nodes.ts';
import { isReady } from '../kubernetes/conditions.ts';
import { poll } from '../support/poll.ts';
import { requestFlush, readMarks, readPages, readPagesAround, readPagesOf } from './ledger.ts';

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
const maxLargeClusterWriteMs = 200_000;
const maxSmallClusterWriteMs = 30_000;

/** Number of attempts before an external objection counts, the timeout of each, and the pause between them, in ms. */
const externalAttempts = 3;
const externalTimeoutMs = 10_000;
const externalRetryDelayMs = 2_000;

/**
 * Maximum number of nodes whose probers are asked to write at once, and the interval between polls in that case, in ms.
 */
const maxFlushNodes = 20;
const flushPollIntervalMs = 500;

/** Interval between polls, in ms. All pages of a large cluster are read less often. */
const pollIntervalMs = 2_000;
const largeCluster = 100;
const largeClusterPollIntervalMs = 20_000;

/** Maximum number of breaches that are listed. */
const maxListed = 10;

/** Creates the activity that evaluates the gates. */
export function createGateActivities(onCluster: OnCluster) {
  return {
    /**
     * Checks that no path was without a reply for longer than tolerated, and that the external gates agree.
     * @throws GateBreached with the evidence, and with the likely cause of the pattern of broken paths.
     */
    checkGates: onCluster('check the gates', async (connection, target: GateTarget): Promise<void> => {
      const { gates, nodes, sinceMs } = target;
      const { pages, silent } = await waitForPages(connection, nodes);
      const { before } = await readMarks(connection);
      const baseline = { fromMs: before?.fromMs ?? 0, toMs: before?.atMs ?? 0 };
      const untilMs = Math.max(Date.now(), ...pages.map(({ atMs }) => atMs));
      const breaches = findBreaches(pages, { gates, sinceMs, untilMs, baseline, ...(nodes && { nodes }) });
      const lines = summarizeLines(breaches.map(breachText), maxListed, 'paths');
      lines.push(...silent.map((node) => `the probers on ${node} do not write their ledger any more`));
      lines.push(...(await evaluateExternalGates(gates)));
      countVerdict(target.cluster, lines.length === 0 ? 'pass' : 'breach');
      if (lines.length === 0) return;
      const cause = tunnelSuspicion(pages, await readTunnelPort(connection), untilMs);
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
async function waitForPages(
  connection: ClusterConnection,
  nodes: readonly string[] | undefined
): Promise<{ pages: LedgerPage[]; silent: string[] }> {
  const read = () => (nodes === undefined ? readPages(connection) : readPagesOf(connection, nodes));
  const pageKey = ({ node, role }: LedgerPage): string => `${node} ${role}`;
  const first = await read();
  const initialWrites = new Map(first.map((page) => [pageKey(page), page.atMs]));
  const targetNodes = nodes ?? (await reachableNodes(connection, first));
  const shouldFlush = targetNodes.length <= maxFlushNodes;
  if (shouldFlush) await requestFlush(connection, targetNodes);
  const deadline = Date.now() + (await maxWriteMs(connection));
  const silent = await poll(
    async () => {
      const written = new Set(
        (await read()).filter((page) => page.atMs > (initialWrites.get(pageKey(page)) ?? 0)).map(pageKey)
      );
      const missing = targetNodes.filter((node) => !written.has(`${node} pod`) || !written.has(`${node} host`));
      return missing.length === 0 || Date.now() > deadline
        ? { done: missing }
        : { waitingFor: `the probers on ${summarizeList(missing)} to write their ledger` };
    },
    {
      timeoutMs: maxLargeClusterWriteMs + 60_000,
      intervalMs: shouldFlush
        ? flushPollIntervalMs
        : targetNodes.length > largeCluster
          ? largeClusterPollIntervalMs
          : pollIntervalMs,
      onTimeout: 'GateBreached',
    }
  );
  return { pages: nodes === undefined ? await read() : await readPagesAround(connection, nodes), silent };
}

/** Returns the Ready nodes that have pages. Nodes that left or are not Ready no longer write. */
async function reachableNodes(connection: ClusterConnection, pages: readonly LedgerPage[]): Promise<string[]> {
  const nodesWithPages = new Set(pages.map(({ node }) => node));
  const nodes = await listNodes(connection);
  return nodes
    .filter((node) => isReady(node) && nodesWithPages.has(node.metadata?.name ?? ''))
    .map(({ metadata }) => metadata?.name ?? '');
}

/** Returns the maximum time that probers may take to write, in ms; it depends on the number of nodes. */
async function maxWriteMs({ core }: ClusterConnection): Promise<number> {
  const { items, metadata } = await core.listNode({ limit: largeCluster });
  return items.length + (metadata?.remainingItemCount ?? 0) > largeCluster
    ? maxLargeClusterWriteMs
    : maxSmallClusterWriteMs;
}

/**
 * Evaluates the external gates.
 * @returns the objections of Prometheus and other services.
 */
async function evaluateExternalGates({ prometheus, http }: Gates): Promise<string[]> {
  const gateEvaluations = [
    ...prometheus.map(
      ({ url, query, max }) =>
        () =>
          evaluatePrometheusGate(url, query, max)
    ),
    ...http.map(
      ({ url }) =>
        () =>
          evaluateHttpGate(url)
    ),
  ];
  const objections = await Promise.all(gateEvaluations.map((evaluate) => evaluateWithRetries(evaluate)));
  return objections.filter((objection) => objection !== undefined);
}

async function evaluateWithRetries(evaluate: () => Promise<string | undefined>): Promise<string | undefined> {
  for (let attempt = 1; ; attempt++) {
    const objection = await evaluate().catch((error: unknown) =>
      error instanceof Error ? error.message : String(error)
    );
    if (objection === undefined || attempt >= externalAttempts) return objection;
    await Context.current().sleep(externalRetryDelayMs);
  }
}

/**
 * Queries Prometheus' HTTP API for the current value.
 * @returns the objection; undefined when the value is within the limit.
 */
async function evaluatePrometheusGate(url: string, query: string, max: number): Promise<string | undefined> {
  const address = new URL('api/v1/query', url.endsWith('/') ? url : `${url}/`);
  address.searchParams.set('query', query);
  const { statusCode, body } = await sendRequest(address);
  const text = await body.text();
  if (statusCode !== 200) return `Prometheus at ${address.host} answers ${query} with status ${statusCode}`;
  type Sample = [time: number, value: string];
  const { data } = JSON.parse(text) as {
    data?: { resultType?: string; result?: Sample | { metric: object; value: Sample }[] };
  };
  const samples = data?.resultType === 'scalar' ? [data.result as Sample] : (data?.result ?? []);
  const values = samples.map((sample) =>
    Number((Array.isArray(sample) ? sample : (sample as { value: Sample }).value)[1])
  );
  const exceeding = values.find((value) => !(value <= max));
  return exceeding === undefined ? undefined : `Prometheus: ${query} is ${exceeding}, at most ${max} is allowed`;
}

async function evaluateHttpGate(url: string): Promise<string | undefined> {
  const { statusCode, body } = await sendRequest(new URL(url));
  await body.dump();
  const { host, pathname } = new URL(url);
  return statusCode >= 200 && statusCode < 300 ? undefined : `${host}${pathname} answers with status ${statusCode}`;
}

function sendRequest(address: URL) {
  return request(address, { headersTimeout: externalTimeoutMs, bodyTimeout: externalTimeoutMs });
}
