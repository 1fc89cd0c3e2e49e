import type { NodeLedger } from '../../../model/ledger.ts';
import { breachText, findBreaches, tunnelSuspicion, type Breach } from '../../../model/gates.ts';
import { summarizeLines, summarizeList } from '../../../model/summarize.ts';
import { readTunnelPort } from '../../cilium/agents.ts';
import { isReady, isSilent } from '../../kubernetes/conditions.ts';
import type { ClusterConnection } from '../../kubernetes/connection.ts';
import { listNodes } from '../../kubernetes/nodes.ts';
import { poll } from '../../support/poll.ts';
import { requestFlush, readSnapshots, readAllLedgers, readLedgersAround, readLedgersOfNodes } from '../ledger.ts';
import { explainMissingNetwork } from '../joined-nodes.ts';
import type { Gate, GateTarget } from './gate.ts';

/**
 * Maximum time that probers may take to write their current results, in ms: twice the write interval with 5,000 nodes,
 * and a shorter limit for small clusters.
 */
const maxLargeClusterWriteMs = 200_000;
const maxSmallClusterWriteMs = 30_000;

/**
 * Maximum number of nodes whose probers are asked to write at once, and the interval between polls in that case, in ms.
 */
const maxFlushNodes = 20;
const flushPollIntervalMs = 500;

/** Interval between polls, in ms. All ledgers of a large cluster are read less often. */
const pollIntervalMs = 2_000;
const largeCluster = 100;
const largeClusterPollIntervalMs = 20_000;

/** Maximum number of breaches that are listed. */
const maxListed = 10;

/**
 * Creates the gate that holds when no measured path was without an answer for longer than its tolerance. Paths from or to
 * nodes that are switched off, or that have left the cluster, do not count: the migration names and sidelines such nodes.
 */
export function pathsGate(connection: ClusterConnection, { gates, nodes, sinceMs }: Omit<GateTarget, 'cluster'>): Gate {
  return {
    name: 'paths',
    evaluate: async () => {
      const { ledgers, silent } = await waitForLedgers(connection, nodes);
      const { before } = await readSnapshots(connection);
      const baseline = { fromMs: before?.fromMs ?? 0, toMs: before?.atMs ?? 0 };
      const untilMs = Math.max(Date.now(), ...ledgers.map(({ atMs }) => atMs));
      const found = findBreaches(ledgers, { gates, sinceMs, untilMs, baseline, ...(nodes && { nodes }) });
      const breaches = await withoutLostNodes(connection, found, nodes ?? []);
      const objections = summarizeLines(breaches.map(breachText), maxListed, 'paths');
      objections.push(...(await describeSilentNodes(connection, silent)));
      return { objections, explain: async () => tunnelSuspicion(ledgers, await readTunnelPort(connection), untilMs) };
    },
  };
}

/** Describes nodes whose probers have not written, with the reason where it is known. */
async function describeSilentNodes(connection: ClusterConnection, silent: readonly string[]): Promise<string[]> {
  if (silent.length === 0) return [];
  const reasons = await explainMissingNetwork(connection);
  return silent.map((node) => {
    const reason = reasons.get(node);
    return reason === undefined
      ? `the probers on ${node} no longer write their ledger`
      : `the probers on ${node} write no ledger: ${reason}`;
  });
}

/** Returns the breaches without those from or to nodes that are lost. The given nodes are never lost. */
async function withoutLostNodes(
  connection: ClusterConnection,
  breaches: readonly Breach[],
  nodes: readonly string[]
): Promise<readonly Breach[]> {
  // All nodes are only read when something is wrong: a large cluster has many.
  if (breaches.length === 0) return breaches;
  const present = new Set(nodes);
  for (const node of await listNodes(connection)) if (!isSilent(node)) present.add(node.metadata?.name ?? '');
  // The other end of a path to the outside is no node.
  const isPresent = ({ kind, peer = '' }: Breach['record']): boolean =>
    peer === '' || kind === 'pod-outside' || present.has(peer);
  return breaches.filter(({ node, record }) => present.has(node) && isPresent(record));
}

/**
 * Waits until the probers of the nodes have written their current results, and returns the nodes whose probers have
 * not. When nodes are given, reads only their own ledgers, and at the end their neighbours' ledgers, because a large
 * cluster has many ledgers.
 */
async function waitForLedgers(
  connection: ClusterConnection,
  nodes: readonly string[] | undefined
): Promise<{ ledgers: NodeLedger[]; silent: string[] }> {
  const read = () => (nodes === undefined ? readAllLedgers(connection) : readLedgersOfNodes(connection, nodes));
  const ledgerKey = ({ node, role }: NodeLedger): string => `${node} ${role}`;
  const first = await read();
  const initialWrites = new Map(first.map((ledger) => [ledgerKey(ledger), ledger.atMs]));
  const targetNodes = nodes ?? (await reachableNodes(connection, first));
  const shouldFlush = targetNodes.length <= maxFlushNodes;
  if (shouldFlush) await requestFlush(connection, targetNodes);
  const deadline = Date.now() + (await maxWriteMs(connection));
  const silent = await poll(
    async () => {
      const written = new Set(
        (await read()).filter((ledger) => ledger.atMs > (initialWrites.get(ledgerKey(ledger)) ?? 0)).map(ledgerKey)
      );
      const missing = targetNodes.filter((node) => !written.has(`${node} pod`) || !written.has(`${node} host`));
      return missing.length === 0 || Date.now() > deadline
        ? { done: missing }
        : { waitingFor: `the ledger of the probers on ${summarizeList(missing)}` };
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
  return { ledgers: nodes === undefined ? await read() : await readLedgersAround(connection, nodes), silent };
}

/** Returns the Ready nodes that have ledgers. Nodes that left or are not Ready no longer write. */
async function reachableNodes(connection: ClusterConnection, ledgers: readonly NodeLedger[]): Promise<string[]> {
  const nodesWithLedger = new Set(ledgers.map(({ node }) => node));
  const nodes = await listNodes(connection);
  return nodes
    .filter((node) => isReady(node) && nodesWithLedger.has(node.metadata?.name ?? ''))
    .map(({ metadata }) => metadata?.name ?? '');
}

/** Returns the maximum time that probers may take to write, in ms; it depends on the number of nodes. */
async function maxWriteMs({ core }: ClusterConnection): Promise<number> {
  const { items, metadata } = await core.listNode({ limit: largeCluster });
  return items.length + (metadata?.remainingItemCount ?? 0) > largeCluster
    ? maxLargeClusterWriteMs
    : maxSmallClusterWriteMs;
}
