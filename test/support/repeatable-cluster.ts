import { applyObject, deleteObject, type NamedObject } from '../../activities/kubernetes/apply.ts';
import { kubeconfigClusters, type ClusterConnection } from '../../activities/kubernetes/connection.ts';
import { helperNamespace } from '../../activities/kubernetes/names.ts';
import { isReady } from '../../activities/kubernetes/conditions.ts';
import { httpStatus, isUnknownKind } from '../../activities/kubernetes/errors.ts';
import type { Lab } from '../../lab/cluster/lab.ts';
import { waitFor } from '../../lab/process.ts';
import { startFakeKubelets } from './fake-kubelet.ts';
import { useLab } from './lab.ts';
import { recordNamespace } from './objects.ts';
import { expectRepeatable, readState, type RepeatableCase } from './repeated-activities.ts';
import { timeLimits } from './time-limits.ts';

/** Access to the cluster of one test file of repeated activities, once its tests run. */
export interface RepeatableCluster {
  lab: () => Lab;
  /** Input that names the cluster. */
  cluster: () => { cluster: string };
  connection: () => ClusterConnection;
  /**
   * Applies objects; waits while their namespace is still being deleted, or their kind not served yet. Records our
   * namespace as created by a worker.
   */
  apply: (...objects: NamedObject[]) => Promise<void>;
  /** Deletes objects. */
  remove: (...objects: NamedObject[]) => Promise<void>;
  /** Waits until a pod runs and has an address. */
  waitForPod: (namespace: string, name: string) => Promise<void>;
  /** Waits until one pod has the label and is Ready; returns its UID. */
  waitForReadyPod: (namespace: string, labelSelector: string) => Promise<string>;
  state: (
    kinds: Parameters<typeof readState>[1],
    isIncluded: Parameters<typeof readState>[2]
  ) => Promise<readonly unknown[]>;
  /** Defines one test for each case. */
  expectEachRepeatable: (cases: Readonly<Record<string, RepeatableCase>>) => void;
}

/**
 * Creates a control plane with nodes whose kubelets are played, and removes it after the last test of the file.
 * @param message termination message of pods that run once. @default an empty one
 */
export function useRepeatedActivities(
  nodes: readonly string[],
  message?: Parameters<typeof startFakeKubelets>[1]['message']
): RepeatableCluster {
  let stopKubelets: (() => Promise<void>) | undefined;
  // Before the lab's own hook: it needs the API server.
  afterAll(() => stopKubelets?.());
  const lab = useLab({ nodes: 0 });
  let opened: ClusterConnection | undefined;
  const connection = (): ClusterConnection => {
    if (opened === undefined) throw new Error('the control plane is not up yet');
    return opened;
  };
  beforeAll(async () => {
    const { kubeconfig, context } = lab().layout;
    opened = await kubeconfigClusters(kubeconfig).connect(context);
    stopKubelets = await startFakeKubelets(opened, { nodes, ...(message && { message }) });
  });
  return {
    lab,
    cluster: () => ({ cluster: lab().layout.context }),
    connection,
    apply: async (...objects) => {
      for (const object of objects) {
        await applyWhenAccepted(connection(), object);
        if (object.kind === 'Namespace' && object.metadata.name === helperNamespace) await recordNamespace(lab());
      }
    },
    remove: async (...objects) => {
      for (const object of objects) await deleteObject(connection(), object);
    },
    waitForPod: (namespace, name) =>
      waitFor(
        `pod ${namespace}/${name} to run`,
        async () => (await connection().core.readNamespacedPod({ name, namespace })).status?.podIP !== undefined,
        { timeoutMs: timeLimits.podsReady, pollIntervalMs: 100 }
      ),
    waitForReadyPod: (namespace, labelSelector) => waitForReadyPod(connection(), namespace, labelSelector),
    state: (kinds, isIncluded) => readState(connection(), kinds, isIncluded),
    expectEachRepeatable: (cases) => {
      it.each(Object.entries(cases))('%s can be repeated after a loss at each of its writes', (_, repeatable) =>
        expectRepeatable(lab(), repeatable)
      );
    },
  };
}

async function waitForReadyPod({ core }: ClusterConnection, namespace: string, labelSelector: string): Promise<string> {
  let uid = '';
  await waitFor(
    `one pod with ${labelSelector} to be Ready`,
    async () => {
      const { items } = await core.listNamespacedPod({ namespace, labelSelector });
      uid = items[0]?.metadata?.uid ?? '';
      return items.length === 1 && items.every((pod) => isReady(pod) && pod.metadata?.deletionTimestamp === undefined);
    },
    { timeoutMs: timeLimits.podsReady, pollIntervalMs: 100 }
  );
  return uid;
}

async function applyWhenAccepted(connection: ClusterConnection, object: NamedObject): Promise<void> {
  const { kind, metadata } = object;
  await waitFor(
    `${kind} ${metadata.name} to be accepted`,
    async () => {
      try {
        await applyObject(connection, object);
        return !(await isTerminating(connection, object));
      } catch (error) {
        // Its namespace is being deleted, or its kind is not served yet; 409: it was deleted at this moment.
        if (isUnknownKind(error) || [403, 404, 405, 409].includes(httpStatus(error) ?? 0)) return false;
        throw error;
      }
    },
    { timeoutMs: timeLimits.clusterChange, pollIntervalMs: 100 }
  );
}

async function isTerminating({ objects }: ClusterConnection, object: NamedObject): Promise<boolean> {
  const { metadata } = await objects.read({
    ...object,
    metadata: { ...object.metadata, namespace: object.metadata.namespace ?? '' },
  });
  return metadata?.deletionTimestamp !== undefined;
}

/** Schema of any object, with the name that the client library gives to the field. */
const anyObject = { type: 'object', x_kubernetes_preserve_unknown_fields: true };

/**
 * Returns a CRD of Cilium or Calico. It declares `spec` and `status`, without their fields: a server-side apply accepts
 * declared fields only.
 */
export function customResource(
  [group, version]: readonly [group: string, version: string],
  kind: string,
  scope: 'Namespaced' | 'Cluster'
): NamedObject {
  const plural = `${kind.toLowerCase().replace(/y$/, 'ie')}s`;
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec: anyObject, status: anyObject } } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    ...{
      spec: {
        ...{ group, scope, names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` } },
        versions: [{ name: version, served: true, storage: true, schema }],
      },
    },
  };
}

/** API groups of the custom resources of Calico and Cilium. */
export const calicoApi = ['crd.projectcalico.org', 'v1'] as const;
export const ciliumApi = ['cilium.io', 'v2'] as const;
