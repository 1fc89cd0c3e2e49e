import type { V1Deployment } from '@kubernetes/client-node';
import { requireApproval } from '../kubernetes/approvals.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { deleteObject, type NamedObject } from '../kubernetes/apply.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { matchesSelector } from '../kubernetes/label-selectors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { objectKey } from '../kubernetes/object-key.ts';
import { removeLostPods, withoutLost } from '../kubernetes/lost-pods.ts';
import { listPods } from '../kubernetes/pods.ts';
import { summarizeList } from '../../model/summarize.ts';
import { poll } from '../support/poll.ts';
import { findCanal, listCanalNamespaces, type CanalInstallation } from './detect.ts';
import { listCanalPermissions, listLeftPermissions, serviceAccounts } from './permissions.ts';

/** Name of the Deployment of Calico's controllers and of its disruption budget, as in Calico's manifest. */
export const controllers = 'calico-kube-controllers';
const controllerLabels = { 'k8s-app': controllers };

/** Names in Canal's manifest, for a removal that continues without the DaemonSet, which names its other objects. */
export const manifest = { configMap: 'canal-config', daemonSet: 'canal', podLabels: { 'k8s-app': 'canal' } };

/** Creates the activity that removes Canal. */
export function createCanalActivities(onCluster: OnCluster) {
  return {
    /**
     * Removes Canal's workloads and permissions, and waits until its pods are gone. It can be repeated after an
     * interruption between any two deletions, and also continues where Canal's DaemonSet is already gone. Calico's
     * custom resources stay for now: they hold the operator's policies.
     * @throws ApprovalMissing, ApprovalsUnverifiable when the cleanup is not approved as configured.
     */
    removeCanal: onCluster('remove Canal', async (connection): Promise<void> => {
      await requireApproval(connection, 'cleanup');
      const canal = await findCanal(connection);
      const namespaces = canal === undefined ? listCanalNamespaces(connection) : [canal.namespace];
      for (const namespace of namespaces) await removeFrom(connection, canal, namespace);
    }),
  };
}

async function removeFrom(
  connection: ClusterConnection,
  canal: CanalInstallation | undefined,
  namespace: string
): Promise<void> {
  const controllersDeployment = await readControllers(connection, namespace);
  for (const object of await canalObjects(connection, canal, namespace)) {
    // The DaemonSet exists until its pods are gone, so that a repeated removal finds it and waits for them, too. Its
    // controller starts no pods in the meantime (k8s.io/kubernetes pkg/controller/daemon).
    await deleteObject(connection, object, { foreground: object.kind === 'DaemonSet' });
  }
  const podLabels = canal?.daemonSet.spec?.selector.matchLabels ?? manifest.podLabels;
  // The pods of a Deployment of that name that is not Calico's stay.
  const controllersAreCalico = controllersDeployment === undefined || isCalicoControllers(controllersDeployment);
  const daemonSet = canal?.name ?? manifest.daemonSet;
  const selectors = [podLabels, ...(controllersAreCalico ? [controllerLabels] : [])];
  await waitForEnd(connection, { namespace, daemonSets: [daemonSet] }, selectors);
}

/**
 * Waits until Canal's DaemonSet and the pods with one of the sets of labels are gone. Pods on nodes that are switched off do
 * not hold it up: those of the DaemonSet are removed from the API, others end when their node is back or has left.
 */
async function waitForEnd(
  connection: ClusterConnection,
  workloads: { namespace: string; daemonSets: readonly string[] },
  selectors: readonly Readonly<Record<string, string>>[]
): Promise<void> {
  const { namespace } = workloads;
  await poll(
    async () => {
      await removeLostPods(connection, workloads);
      const pods = (await listPods(connection, { namespace })).filter(({ labels }) =>
        selectors.some((matchLabels) => matchesSelector({ matchLabels }, labels))
      );
      const remainingPods = await withoutLost(connection, pods);
      if (remainingPods.length > 0) {
        return {
          waitingFor: `the end of ${remainingPods.length} pods of Canal: ${summarizeList(remainingPods.map((pod) => pod.name))}`,
          ...(remainingPods.length > 100 && { nextPollMs: 5_000 }),
        };
      }
      const canal = await findCanal(connection);
      return canal === undefined
        ? { done: undefined }
        : { waitingFor: `the deletion of DaemonSet ${canal.namespace}/${canal.name}` };
    },
    { timeoutMs: 180_000, onTimeout: 'AgentNotReady', advice: 'check these pods, then start the migration again' }
  );
}

async function readControllers({ apps }: ClusterConnection, namespace: string): Promise<V1Deployment | undefined> {
  return ifFound(apps.readNamespacedDeployment({ name: controllers, namespace }));
}

function isCalicoControllers({ spec }: V1Deployment): boolean {
  return spec?.template.spec?.containers.some(({ image }) => image?.includes('calico/kube-controllers')) === true;
}

/**
 * Returns Canal's objects, in the order of their removal. Each is verified by its references, not by its name alone, so
 * an object that refers to another one follows it: a removal that is repeated after an interruption still finds both.
 * The ConfigMap is first, because a new run reads from its absence that the removal has started. The DaemonSet is last.
 * @param canal undefined when its DaemonSet is already gone; its other objects then have the names of the manifest.
 * @param namespace namespace of Canal, or one in which it may have been.
 */
export async function canalObjects(
  connection: ClusterConnection,
  canal: CanalInstallation | undefined,
  namespace: string
): Promise<NamedObject[]> {
  const { configMap } = canal ?? manifest;
  const result: NamedObject[] = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: configMap, namespace } }];
  const deployment = await readControllers(connection, namespace);
  if (deployment !== undefined && isCalicoControllers(deployment)) {
    result.push({ apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: controllers, namespace } });
    result.push({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: controllers, namespace } });
  }
  result.push(...(await listCanalPermissions(connection, namespace)));
  for (const account of serviceAccounts)
    result.push({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: account, namespace } });
  if (canal !== undefined)
    result.push({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: canal.name, namespace } });
  return result;
}

/**
 * Returns kind and name of each object of Canal's manifest that is left in the API. A role that another owner's binding
 * uses belongs to that owner.
 */
export async function listCanalObjects(connection: ClusterConnection): Promise<string[]> {
  const named = [
    ...serviceAccounts.map((name) => ['v1', 'ServiceAccount', name] as const),
    ['v1', 'ConfigMap', manifest.configMap] as const,
    ['apps/v1', 'DaemonSet', manifest.daemonSet] as const,
    ['apps/v1', 'Deployment', controllers] as const,
  ];
  const objects = listCanalNamespaces(connection).flatMap((namespace) =>
    named.map(([apiVersion, kind, name]) => ({ apiVersion, kind, metadata: { name, namespace } }))
  );
  const left = await Promise.all(
    objects.map(async (object) => {
      const existing = await ifFound(connection.objects.read(object));
      return existing === undefined ? [] : [`${object.kind} ${objectKey(object)}`];
    })
  );
  const canal = await findCanal(connection);
  const renamed = canal === undefined || canal.name === manifest.daemonSet ? [] : [canal];
  return [
    ...left.flat(),
    ...renamed.map(({ namespace, name }) => `DaemonSet ${namespace}/${name}`),
    ...(await listLeftPermissions(connection)),
  ];
}
