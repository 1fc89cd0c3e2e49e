import type { KubernetesObject } from '@kubernetes/client-node';
import type { Activities } from '../../activities/index.ts';
import { listKnown } from '../../activities/kubernetes/apply.ts';
import { kubeconfigClusters, type ClusterConnection } from '../../activities/kubernetes/connection.ts';
import type { Lab } from '../../lab/cluster/lab.ts';
import { createTestActivities } from './activity.ts';
import { ConnectionLoss, lossSides } from './connection-loss.ts';

/** Activities that lose their connection at each of their writes, by test file: test/api/repeated-….test.ts. */
export const repeatedActivities = {
  removal: [
    'exportCalico',
    'exportCilium',
    'removeCanal',
    'removeCanalTraces',
    'removeCiliumTraces',
    'uninstallCilium',
  ],
  helpers: [
    'recordUnfinished',
    'removeHelpers',
    'removeIdentityBridge',
    'removeInspectors',
    'recordPointOfNoReturn',
    'recordRollback',
    'removeRollbackRecord',
  ],
  deployment: [
    'acquireLock',
    'releaseLock',
    'deployProbers',
    'deployNatExemption',
    'deployIdentityBridge',
    'restoreHelpers',
    'applyCniChain',
    'applyNodeConfig',
    'removeNodeConfig',
    'applyTranslatedPolicies',
    'snapshotLedger',
  ],
  nodes: [
    'cordonNode',
    'uncordonNode',
    'drainNode',
    'flipNode',
    'revertNodeFlip',
    'restartOutdatedAgent',
    'waitForAgents',
    'restartOutdatedOperator',
    'keepCanalOffNewNodes',
    'letCanalOnAllNodes',
    'restoreSourceCni',
    'cleanHost',
    'verifyNode',
  ],
} as const satisfies Record<string, readonly (keyof Activities)[]>;

type Subject = keyof typeof repeatedActivities;

const readsOnly = 'it changes nothing';
const dryRun = 'the API server persists nothing of it';

/** Reasons why the other activities are not among {@link repeatedActivities}. */
export const notRepeated: Readonly<
  Record<Exclude<keyof Activities, (typeof repeatedActivities)[Subject][number]>, string>
> = {
  resolveRequest: 'it computes, and reads nothing',
  inspectCluster: readsOnly,
  findApprovals: readsOnly,
  comparePolicies: readsOnly,
  planDetails: readsOnly,
  readLedger: readsOnly,
  checkCiliumConfig: readsOnly,
  requireIdentityBridge: readsOnly,
  requireAllPodsOnTarget: readsOnly,
  verifyBeforeRemoval: readsOnly,
  verifyBeforeUninstall: readsOnly,
  observeNodes: readsOnly,
  observeNode: readsOnly,
  nodeNames: readsOnly,
  waitForNodeChange: readsOnly,
  waitForReboot: readsOnly,
  untilFit: readsOnly,
  dryRunRelease: dryRun,
  dryRunNode: dryRun,
  dryRunCleanup: dryRun,
  checkGates: 'its only write asks the probers to report soon',
  applyHelmRelease: 'Helm writes, in its own process: test/api/helm.test.ts interrupts it',
  runPreflight: 'it reads logs from kubelets; removeInspectors, which is repeated, removes what it creates',
  collectDiagnostics: 'it reads a log from a kubelet; it writes one object, whose next version replaces it',
};

/** One activity, with the state that it starts from. */
export interface RepeatableCase {
  /** Brings the cluster from any state into the one before the activity. */
  prepare: () => Promise<unknown>;
  run: (activities: Activities) => Promise<unknown>;
  /** Reads the part of the cluster that the activity is about. */
  read: () => Promise<unknown>;
  /** Checks the state after each loss, before the activity is repeated. @default nothing */
  checkInterrupted?: (activities: Activities) => Promise<unknown>;
}

/** The cases of a test file: one for each of its activities. */
export type RepeatableCases<S extends Subject> = Readonly<
  Record<(typeof repeatedActivities)[S][number], RepeatableCase>
>;

/** Longest sleep of a repeated activity, in ms: the controllers that it waits for are on this machine. */
const maxSleepMs = 100;

/**
 * Runs an activity undisturbed, and then once for each of its writes and each side of it: the connection is lost there,
 * and the activity runs again. Expects the state of the undisturbed run each time.
 */
export async function expectRepeatable(
  lab: Lab,
  { prepare, run, read, checkInterrupted }: RepeatableCase
): Promise<void> {
  const loss = new ConnectionLoss();
  const clusters = kubeconfigClusters(lab.layout.kubeconfig, { requestsPerSecond: 1_000 });
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.min(ms, maxSleepMs)));
  const dependencies = {
    clusters: loss.wrap(clusters),
    helm: { binary: lab.catalogue.bin('helm') },
    isOpen: () => Promise.resolve(false),
  };
  const activities = createTestActivities(dependencies, sleep);
  await prepare();
  loss.restore();
  await run(activities);
  expect(loss.writes).toBeGreaterThan(0);
  const expected = await read();
  for (const side of lossSides) {
    for (let write = 1; ; write++) {
      const where = `connection lost ${side} write ${write}`;
      await prepare();
      loss.restore({ write, side });
      const failure = await run(activities).then(
        () => undefined,
        (error: unknown) => error
      );
      if (!loss.lost) break;
      // Temporal repeats the activity only after a retryable failure.
      expect({ where, failure }).toMatchObject({ where, failure: { nonRetryable: false } });
      loss.restore();
      await checkInterrupted?.(activities);
      const repeated = await run(activities).then(
        () => 'completed',
        (error: unknown) => error
      );
      expect({ where, repeated, state: await read() }).toEqual({ where, repeated: 'completed', state: expected });
    }
  }
}

/** Parts of an object that differ between two equal ones. */
const volatileMetadata = ['uid', 'resourceVersion', 'creationTimestamp', 'managedFields', 'generation'];

/**
 * Reads objects of some kinds, without what differs between two equal ones: UIDs, times and assigned addresses.
 * @param kinds pairs of `apiVersion` and `kind`.
 * @param isIncluded selects objects by namespace and name.
 */
export async function readState(
  connection: ClusterConnection,
  kinds: readonly (readonly [apiVersion: string, kind: string])[],
  isIncluded: (namespace: string | undefined, name: string) => boolean
): Promise<string[]> {
  const lists = await Promise.all(
    kinds.map(([apiVersion, kind]) => listKnown<KubernetesObject>(connection, apiVersion, kind))
  );
  return lists
    .flat()
    .filter(({ metadata }) => isIncluded(metadata?.namespace, metadata?.name ?? ''))
    .map(({ metadata, ...object }) => {
      const entries = Object.entries(metadata ?? {}).filter(([key]) => !volatileMetadata.includes(key));
      return stableText({ ...object, status: undefined, metadata: Object.fromEntries(entries) });
    })
    .sort();
}

function stableText(object: object): string {
  return (
    JSON.stringify(object)
      // Kubernetes' own controllers write these to a node at any time.
      .replaceAll(/"beta\.kubernetes\.io\/os":"linux",?/g, '')
      .replaceAll(/,"taints":\[(\{[^{}]*"key":"node\.kubernetes\.io\/[^{}]*\},?)+\]/g, '')
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UID')
      .replaceAll(/\b10\.96\.\d+\.\d+/g, 'SERVICE-IP')
      .replaceAll(/(nodePort":|"NODE_PORT","value":")\d+/g, '$1NODE-PORT')
      .replaceAll(/("PROBE_KEY","value":")[\w-]+/g, '$1KEY')
      .replaceAll(/\b\d{13}\b/g, 'MS')
  );
}
