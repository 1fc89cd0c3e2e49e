import { PatchStrategy, setHeaderOptions, type V1ConfigMap } from '@kubernetes/client-node';
import { Context } from '@temporalio/activity';
import {
  ledgerStages,
  rowsOf,
  totalsOf,
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
import { askedAnnotation, helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { allPages } from '../kubernetes/pagination.ts';

/** ConfigMap with what was known at the end of each stage. */
const marksName = 'ledger-marks';

/** Label of the probers' own ConfigMaps, one a node; images/prober/kube.go. */
const pageLabel = 'app=ledger';
const pagePrefix = 'ledger-';

/** Probers write down what they know every few seconds; after this long, in ms, each has done so in peace. */
const settleMs = 6_000;

/** So many pages are read at a time. */
const pagesAtOnce = 10;

/** What is kept of a stage that is over: everything until then, and the lines that it ended with. */
export interface Mark extends Snapshot {
  /** When the stage began (Unix, ms). */
  fromMs: number;
  rows: LedgerRow[];
}

/** Marks by stage. */
export type Marks = Partial<Record<LedgerStage, Mark>>;

/** The activities on the ledger. */
export function createLedgerActivities(clusters: Clusters) {
  return {
    /**
     * Ends a stage of the ledger, after having waited for a while. A stage that is ended already stays as it is: what was
     * before a migration cannot be measured once it has begun.
     * @returns the lines of the stage.
     */
    markLedger: withFailures(
      'write the ledger down',
      async (target: { cluster: string; stage: LedgerStage; seconds: number }): Promise<LedgerRow[]> => {
        const { cluster, stage, seconds } = target;
        const connection = await clusters.connect(cluster);
        const known = (await readMarks(connection))[stage];
        if (known !== undefined) return known.rows;
        // The last step of an earlier run has begun to remove the probers: nothing measures any more.
        if (!(await canWrite(connection))) return [];
        // What is lost while services learn of the probers is nobody's fault.
        if (stage === 'before') await Context.current().sleep(settleMs);
        const settled: Snapshot | undefined =
          stage === 'before' ? { atMs: Date.now(), totals: totalsOf(await readPages(connection)) } : undefined;
        heartbeat({ waitingFor: `${seconds} s of samples for the stage "${stage}" of the ledger` });
        await Context.current().sleep(seconds * 1_000);
        const pages = await readPages(connection);
        const marks = await readMarks(connection);
        const previous = previousMark(marks, stage) ?? settled;
        const mark: Mark = {
          fromMs: previous?.atMs ?? Date.now(),
          atMs: Date.now(),
          totals: totalsOf(pages),
          rows: rowsOf(pages, previous, marks.before?.rows ?? []),
        };
        await writeMark(connection, stage, mark);
        return mark.rows;
      }
    ),

    /** Reads the lines of the stage that goes on; none where no probers run. */
    readLedger: withFailures('read the ledger', async ({ cluster }: { cluster: string }): Promise<LedgerRow[]> => {
      const connection = await clusters.connect(cluster);
      const [pages, marks] = [await readPages(connection), await readMarks(connection)];
      const stage = ledgerStages.find((one) => marks[one] === undefined) ?? 'after';
      return rowsOf(pages, previousMark(marks, stage), marks.before?.rows ?? []);
    }),
  };
}

/** Whether our namespace is there, and not about to go. */
async function canWrite({ core }: ClusterConnection): Promise<boolean> {
  const found = await ifFound(core.readNamespace({ name: namespace }));
  return found !== undefined && found.metadata?.deletionTimestamp === undefined;
}

function previousMark(marks: Marks, stage: LedgerStage): Mark | undefined {
  const earlier = ledgerStages.slice(0, ledgerStages.indexOf(stage));
  return earlier.map((one) => marks[one]).findLast((mark) => mark !== undefined);
}

/** Reads what the probers of all nodes have written down. */
export async function readPages({ core }: ClusterConnection): Promise<LedgerPage[]> {
  const maps = await allPages((which) =>
    core.listNamespacedConfigMap({ namespace, labelSelector: pageLabel, ...which })
  );
  return maps.flatMap(pagesIn);
}

/**
 * Reads what the probers of some nodes have written down, and those that sample them: neighbours sample each other
 * (images/prober/mesh.go), so that they are in the nodes' own pages.
 */
export async function readPagesAround(connection: ClusterConnection, nodes: readonly string[]): Promise<LedgerPage[]> {
  const own = await readPagesOf(connection, nodes);
  const peers = own.flatMap(({ records }) =>
    records.flatMap(({ kind, peer }) => (peer === undefined || kind === 'pod-outside' ? [] : [peer]))
  );
  const others = [...new Set(peers)].filter((name) => !nodes.includes(name));
  return [...own, ...(await readPagesOf(connection, others))];
}

/** Reads what the probers of some nodes have written down. */
export async function readPagesOf({ core }: ClusterConnection, nodes: readonly string[]): Promise<LedgerPage[]> {
  const maps = await mapLimit(pagesAtOnce, nodes, (node) =>
    ifFound(core.readNamespacedConfigMap({ name: `${pagePrefix}${node}`, namespace }))
  );
  return maps.flatMap((map) => (map === undefined ? [] : pagesIn(map)));
}

/** So long after they were asked, probers have written, if they can (0.9 s, images/prober/probe.go). In ms. */
export const writtenAfterMs = 2_000;

/** Has the probers of some nodes write down soon what they saw until now; those that have no page yet are not asked. */
export async function askForPages({ core }: ClusterConnection, nodes: readonly string[]): Promise<void> {
  const body = { metadata: { annotations: { [askedAnnotation]: new Date().toISOString() } } };
  const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);
  await mapLimit(pagesAtOnce, nodes, (node) =>
    ifFound(core.patchNamespacedConfigMap({ name: `${pagePrefix}${node}`, namespace, body }, merge))
  );
}

function pagesIn({ metadata, data = {} }: V1ConfigMap): LedgerPage[] {
  const node = (metadata?.name ?? '').slice(pagePrefix.length);
  return (['pod', 'host'] as const).flatMap((role) => {
    const text = data[role];
    return text === undefined ? [] : [pageOf(node, role, text)];
  });
}

function pageOf(node: string, role: LedgerPage['role'], text: string): LedgerPage {
  // Go writes empty lists as null.
  const { atMs, records, latency } = JSON.parse(text) as {
    atMs: number;
    records: LedgerPage['records'] | null;
    latency: LedgerPage['latency'] | null;
  };
  return { node, role, atMs, records: records ?? [], latency: latency ?? [] };
}

/** Reads what was known at the end of each stage that is over. */
export async function readMarks({ core }: ClusterConnection): Promise<Marks> {
  const found = await ifFound(core.readNamespacedConfigMap({ name: marksName, namespace }));
  const entries = Object.entries(found?.data ?? {}).map(([stage, text]) => [stage, JSON.parse(text) as Mark]);
  return Object.fromEntries(entries) as Marks;
}

async function writeMark(connection: ClusterConnection, stage: LedgerStage, mark: Mark): Promise<void> {
  const marks = { ...(await readMarks(connection)), [stage]: mark };
  await applyObject(connection, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: marksName, namespace, labels: ownedLabels },
    ...{ data: Object.fromEntries(Object.entries(marks).map(([name, one]) => [name, JSON.stringify(one)])) },
  });
}
