import { PatchStrategy, setHeaderOptions, type V1ConfigMap } from '@kubernetes/client-node';
import { Context } from '@temporalio/activity';
import {
  ledgerStages,
  buildLedgerRows,
  computeTotals,
  type NodeLedger,
  type LedgerRow,
  type LedgerStage,
  type Snapshot,
} from '../../model/ledger.ts';
import { failure } from '../support/failures.ts';
import { mapLimit } from '../support/map-limit.ts';
import { heartbeat } from '../support/heartbeat.ts';
import { applyObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { flushRequestedAnnotation, helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { parseNodeLedger, parseSnapshots, type StageSnapshot, type StageSnapshots } from './ledger-records.ts';

/** ConfigMap with the snapshots at the end of each stage. */
const snapshotsName = 'ledger-snapshots';

/** Label of the probers' ConfigMaps, one per node; images/prober/kube.go. */
const pageLabel = 'app=ledger';
const pagePrefix = 'ledger-';

/** Time in ms after which each prober has written its results at least once; probers write every few seconds. */
const settleMs = 6_000;

/** Maximum number of ledgers that are read in parallel. */
const maxParallelLedgers = 10;

/** Creates the activities on the ledger. */
export function createLedgerActivities(onCluster: OnCluster) {
  return {
    /**
     * Ends a stage of the ledger after a period of sampling. A stage that has already ended stays unchanged: the
     * baseline of a migration cannot be measured once the migration has started.
     * @returns the rows of the stage.
     */
    snapshotLedger: onCluster(
      'take a snapshot of the ledger',
      async (connection, target: { cluster: string; stage: LedgerStage; seconds: number }): Promise<LedgerRow[]> => {
        const { stage, seconds } = target;
        const existing = (await readSnapshots(connection))[stage];
        if (existing !== undefined) return existing.rows;
        // The last step of an earlier run has started to remove the probers: nothing is measured any more.
        if (!(await canWrite(connection))) return [];
        // Losses while services discover the probers are not caused by the network.
        if (stage === 'before') await Context.current().sleep(settleMs);
        const settled: Snapshot | undefined =
          stage === 'before'
            ? { atMs: Date.now(), totals: computeTotals(await readAllLedgers(connection)) }
            : undefined;
        heartbeat({ waitingFor: `${seconds} s of samples for the stage "${stage}" of the ledger` });
        await Context.current().sleep(seconds * 1_000);
        const ledgers = await readAllLedgers(connection);
        const snapshots = await readSnapshots(connection);
        const previous = previousSnapshot(snapshots, stage) ?? settled;
        const snapshot: StageSnapshot = {
          fromMs: previous?.atMs ?? Date.now(),
          atMs: Date.now(),
          totals: computeTotals(ledgers),
          rows: buildLedgerRows(ledgers, previous, snapshots.before?.rows ?? []),
        };
        await writeSnapshot(connection, stage, snapshot);
        return snapshot.rows;
      }
    ),

    /** Reads the rows of the current stage; none when no probers run. */
    readLedger: onCluster('read the ledger', async (connection): Promise<LedgerRow[]> => {
      const [ledgers, snapshots] = [await readAllLedgers(connection), await readSnapshots(connection)];
      const stage = ledgerStages.find((candidate) => snapshots[candidate] === undefined) ?? 'after';
      return buildLedgerRows(ledgers, previousSnapshot(snapshots, stage), snapshots.before?.rows ?? []);
    }),
  };
}

/** Returns true when our namespace exists and is not terminating. */
async function canWrite({ core }: ClusterConnection): Promise<boolean> {
  const ownNamespace = await ifFound(core.readNamespace({ name: namespace }));
  return ownNamespace !== undefined && ownNamespace.metadata?.deletionTimestamp === undefined;
}

function previousSnapshot(snapshots: StageSnapshots, stage: LedgerStage): StageSnapshot | undefined {
  const earlier = ledgerStages.slice(0, ledgerStages.indexOf(stage));
  return earlier.map((earlierStage) => snapshots[earlierStage]).findLast((snapshot) => snapshot !== undefined);
}

/** Reads the ledgers of all nodes. */
export async function readAllLedgers({ core }: ClusterConnection): Promise<NodeLedger[]> {
  const maps = await allPages((which) =>
    core.listNamespacedConfigMap({ namespace, labelSelector: pageLabel, ...which })
  );
  return maps.flatMap(parseNodeLedgers);
}

/**
 * Reads the ledgers of some nodes and of the nodes that sample them. Neighbours sample each other
 * (images/prober/mesh.go), so the nodes' own ledgers name them.
 */
export async function readLedgersAround(
  connection: ClusterConnection,
  nodes: readonly string[]
): Promise<NodeLedger[]> {
  const ownLedgers = await readLedgersOfNodes(connection, nodes);
  const peers = ownLedgers.flatMap(({ records }) =>
    records.flatMap(({ kind, peer }) => (peer === undefined || kind === 'pod-outside' ? [] : [peer]))
  );
  const otherNodes = [...new Set(peers)].filter((name) => !nodes.includes(name));
  return [...ownLedgers, ...(await readLedgersOfNodes(connection, otherNodes))];
}

/** Reads the ledgers of some nodes. */
export async function readLedgersOfNodes({ core }: ClusterConnection, nodes: readonly string[]): Promise<NodeLedger[]> {
  const maps = await mapLimit(maxParallelLedgers, nodes, (node) =>
    ifFound(core.readNamespacedConfigMap({ name: `${pagePrefix}${node}`, namespace }))
  );
  return maps.flatMap((map) => (map === undefined ? [] : parseNodeLedgers(map)));
}

/** Time in ms after a request by which a working prober has written its ledger (0.9 s, images/prober/probe.go). */
export const flushDelayMs = 2_000;

/** Asks the probers of some nodes to write their current results soon. Nodes without a ledger are skipped. */
export async function requestFlush({ core }: ClusterConnection, nodes: readonly string[]): Promise<void> {
  const body = { metadata: { annotations: { [flushRequestedAnnotation]: new Date().toISOString() } } };
  const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);
  await mapLimit(maxParallelLedgers, nodes, (node) =>
    ifFound(core.patchNamespacedConfigMap({ name: `${pagePrefix}${node}`, namespace, body }, merge))
  );
}

function parseNodeLedgers({ metadata, data = {} }: V1ConfigMap): NodeLedger[] {
  const node = (metadata?.name ?? '').slice(pagePrefix.length);
  return (['pod', 'host'] as const).flatMap((role) => {
    const text = data[role];
    return text === undefined ? [] : (parseNodeLedger(node, role, text) ?? []);
  });
}

/**
 * Reads the snapshots of all stages that have ended.
 * @throws GateBreached, retryable, when one is not valid: another program has written it.
 */
export async function readSnapshots({ core }: ClusterConnection): Promise<StageSnapshots> {
  const configMap = await ifFound(core.readNamespacedConfigMap({ name: snapshotsName, namespace }));
  const parsed = parseSnapshots(configMap?.data ?? {});
  if ('snapshots' in parsed) return parsed.snapshots;
  throw failure(
    'GateBreached',
    `the snapshot "${parsed.invalid}" in the ConfigMap ${namespace}/${snapshotsName} is not valid; check who has changed it, and delete this entry: the stage is then measured again`,
    { retryable: true }
  );
}

async function writeSnapshot(
  connection: ClusterConnection,
  stage: LedgerStage,
  snapshot: StageSnapshot
): Promise<void> {
  const snapshots = { ...(await readSnapshots(connection)), [stage]: snapshot };
  await applyObject(connection, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: snapshotsName, namespace, labels: ownedLabels },
    ...{
      data: Object.fromEntries(Object.entries(snapshots).map(([name, snapshot]) => [name, JSON.stringify(snapshot)])),
    },
  });
}
