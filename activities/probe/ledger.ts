import { PatchStrategy, setHeaderOptions, type V1ConfigMap } from '@kubernetes/client-node';
import { Context } from '@temporalio/activity';
import {
  ledgerStages,
  buildLedgerRows,
  computeTotals,
  type LedgerPage,
  type LedgerRow,
  type LedgerStage,
  type Snapshot,
} from '../../model/ledger.ts';
import { mapLimit } from '../support/map-limit.ts';
import { heartbeat } from '../support/heartbeat.ts';
import { applyObject } from '../kubernetes/apply.ts';
import type { ClusterConnection, Clusters } from '../kubernetes/connection.ts';
import { ifFound, withFailures } from '../kubernetes/errors.ts';
import { flushRequestedAnnotation, helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { allPages } from '../kubernetes/pagination.ts';

/** ConfigMap with the snapshots at the end of each stage. */
const marksName = 'ledger-marks';

/** Label of the probers' ConfigMaps, one per node; images/prober/kube.go. */
const pageLabel = 'app=ledger';
const pagePrefix = 'ledger-';

/** Time in ms after which each prober has written its results at least once; probers write every few seconds. */
const settleMs = 6_000;

/** Maximum number of pages that are read in parallel. */
const maxParallelPages = 10;

/** Snapshot at the end of a stage: the totals until then, and the stage's final rows. */
export interface Mark extends Snapshot {
  /** Start of the stage (Unix, ms). */
  fromMs: number;
  rows: LedgerRow[];
}

/** Snapshots by stage. */
export type Marks = Partial<Record<LedgerStage, Mark>>;

/** Creates the activities on the ledger. */
export function createLedgerActivities(clusters: Clusters) {
  return {
    /**
     * Ends a stage of the ledger after a period of sampling. A stage that has already ended stays unchanged: the
     * baseline of a migration cannot be measured once the migration has started.
     * @returns the rows of the stage.
     */
    snapshotLedger: withFailures(
      'write the ledger down',
      async (target: { cluster: string; stage: LedgerStage; seconds: number }): Promise<LedgerRow[]> => {
        const { cluster, stage, seconds } = target;
        const connection = await clusters.connect(cluster);
        const existing = (await readMarks(connection))[stage];
        if (existing !== undefined) return existing.rows;
        // The last step of an earlier run has started to remove the probers: nothing is measured any more.
        if (!(await canWrite(connection))) return [];
        // Losses while services discover the probers are not caused by the network.
        if (stage === 'before') await Context.current().sleep(settleMs);
        const settled: Snapshot | undefined =
          stage === 'before' ? { atMs: Date.now(), totals: computeTotals(await readPages(connection)) } : undefined;
        heartbeat({ waitingFor: `${seconds} s of samples for the stage "${stage}" of the ledger` });
        await Context.current().sleep(seconds * 1_000);
        const pages = await readPages(connection);
        const marks = await readMarks(connection);
        const previous = previousMark(marks, stage) ?? settled;
        const mark: Mark = {
          fromMs: previous?.atMs ?? Date.now(),
          atMs: Date.now(),
          totals: computeTotals(pages),
          rows: buildLedgerRows(pages, previous, marks.before?.rows ?? []),
        };
        await writeMark(connection, stage, mark);
        return mark.rows;
      }
    ),

    /** Reads the rows of the current stage; none when no probers run. */
    readLedger: withFailures('read the ledger', async ({ cluster }: { cluster: string }): Promise<LedgerRow[]> => {
      const connection = await clusters.connect(cluster);
      const [pages, marks] = [await readPages(connection), await readMarks(connection)];
      const stage = ledgerStages.find((candidate) => marks[candidate] === undefined) ?? 'after';
      return buildLedgerRows(pages, previousMark(marks, stage), marks.before?.rows ?? []);
    }),
  };
}

/** Returns true when our namespace exists and is not terminating. */
async function canWrite({ core }: ClusterConnection): Promise<boolean> {
  const ownNamespace = await ifFound(core.readNamespace({ name: namespace }));
  return ownNamespace !== undefined && ownNamespace.metadata?.deletionTimestamp === undefined;
}

function previousMark(marks: Marks, stage: LedgerStage): Mark | undefined {
  const earlier = ledgerStages.slice(0, ledgerStages.indexOf(stage));
  return earlier.map((earlierStage) => marks[earlierStage]).findLast((mark) => mark !== undefined);
}

/** Reads the pages of all nodes. */
export async function readPages({ core }: ClusterConnection): Promise<LedgerPage[]> {
  const maps = await allPages((which) =>
    core.listNamespacedConfigMap({ namespace, labelSelector: pageLabel, ...which })
  );
  return maps.flatMap(parsePages);
}

/**
 * Reads the pages of some nodes and of the nodes that sample them. Neighbours sample each other
 * (images/prober/mesh.go), so the nodes' own pages name them.
 */
export async function readPagesAround(connection: ClusterConnection, nodes: readonly string[]): Promise<LedgerPage[]> {
  const ownPages = await readPagesOf(connection, nodes);
  const peers = ownPages.flatMap(({ records }) =>
    records.flatMap(({ kind, peer }) => (peer === undefined || kind === 'pod-outside' ? [] : [peer]))
  );
  const otherNodes = [...new Set(peers)].filter((name) => !nodes.includes(name));
  return [...ownPages, ...(await readPagesOf(connection, otherNodes))];
}

/** Reads the pages of some nodes. */
export async function readPagesOf({ core }: ClusterConnection, nodes: readonly string[]): Promise<LedgerPage[]> {
  const maps = await mapLimit(maxParallelPages, nodes, (node) =>
    ifFound(core.readNamespacedConfigMap({ name: `${pagePrefix}${node}`, namespace }))
  );
  return maps.flatMap((map) => (map === undefined ? [] : parsePages(map)));
}

/** Time in ms after a request by which a working prober has written its page (0.9 s, images/prober/probe.go). */
export const flushDelayMs = 2_000;

/** Asks the probers of some nodes to write their current results soon. Nodes without a page are skipped. */
export async function requestFlush({ core }: ClusterConnection, nodes: readonly string[]): Promise<void> {
  const body = { metadata: { annotations: { [flushRequestedAnnotation]: new Date().toISOString() } } };
  const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);
  await mapLimit(maxParallelPages, nodes, (node) =>
    ifFound(core.patchNamespacedConfigMap({ name: `${pagePrefix}${node}`, namespace, body }, merge))
  );
}

function parsePages({ metadata, data = {} }: V1ConfigMap): LedgerPage[] {
  const node = (metadata?.name ?? '').slice(pagePrefix.length);
  return (['pod', 'host'] as const).flatMap((role) => {
    const text = data[role];
    return text === undefined ? [] : [parsePage(node, role, text)];
  });
}

function parsePage(node: string, role: LedgerPage['role'], text: string): LedgerPage {
  // Go encodes empty lists as null.
  const { atMs, records, latency } = JSON.parse(text) as {
    atMs: number;
    records: LedgerPage['records'] | null;
    latency: LedgerPage['latency'] | null;
  };
  return { node, role, atMs, records: records ?? [], latency: latency ?? [] };
}

/** Reads the snapshots of all stages that have ended. */
export async function readMarks({ core }: ClusterConnection): Promise<Marks> {
  const configMap = await ifFound(core.readNamespacedConfigMap({ name: marksName, namespace }));
  const entries = Object.entries(configMap?.data ?? {}).map(([stage, text]) => [stage, JSON.parse(text) as Mark]);
  return Object.fromEntries(entries) as Marks;
}

async function writeMark(connection: ClusterConnection, stage: LedgerStage, mark: Mark): Promise<void> {
  const marks = { ...(await readMarks(connection)), [stage]: mark };
  await applyObject(connection, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: marksName, namespace, labels: ownedLabels },
    ...{ data: Object.fromEntries(Object.entries(marks).map(([name, mark]) => [name, JSON.stringify(mark)])) },
  });
}
