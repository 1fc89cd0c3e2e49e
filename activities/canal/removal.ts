import type { RbacV1Subject, V1ClusterRoleBinding, V1Deployment } from '@kubernetes/client-node';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { deleteObject, type NamedObject } from '../kubernetes/apply.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { matchesSelector } from '../kubernetes/label-selectors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { ciliumNamespace } from '../kubernetes/names.ts';
import { listPods } from '../kubernetes/pods.ts';
import { summarizeList } from '../../model/summarize.ts';
import { poll } from '../support/poll.ts';
import { findCanal, type CanalInstallation } from './detect.ts';

/** ServiceAccounts of Canal's manifest (calico manifests/canal.yaml, v3.28). */
const serviceAccounts = ['canal', 'calico-cni-plugin', 'calico-kube-controllers'];

/** Name of the Deployment of Calico's controllers and of its disruption budget, as in Calico's manifest. */
const controllers = 'calico-kube-controllers';
const controllerLabels = { 'k8s-app': controllers };

/** Where Canal's manifest has its objects, for a removal that continues without the DaemonSet, which names them. */
const manifestLocation = { namespace: ciliumNamespace, configMap: 'canal-config', podLabels: { 'k8s-app': 'canal' } };

/** Creates the activity that removes Canal. */
export function createCanalActivities(onCluster: OnCluster) {
  return {
    /**
     * Removes Canal's workloads and permissions, and waits until its pods are gone. It can be repeated after an
     * interruption between any two deletions, and also continues where Canal's DaemonSet is already gone. Calico's
     * custom resources stay for now: they hold the operator's policies.
     */
    removeCanal: onCluster('remove Canal', async (connection): Promise<void> => {
      const canal = await findCanal(connection);
      const namespace = canal?.namespace ?? manifestLocation.namespace;
      const controllersDeployment = await readControllers(connection, namespace);
      for (const object of await canalObjects(connection, canal)) {
        // The DaemonSet exists until its pods are gone, so that a repeated removal finds it and waits for them, too. Its
        // controller starts no pods in the meantime (k8s.io/kubernetes pkg/controller/daemon).
        await deleteObject(connection, object, { foreground: object.kind === 'DaemonSet' });
      }
      const podLabels = canal?.daemonSet.spec?.selector.matchLabels ?? manifestLocation.podLabels;
      // The pods of a Deployment of that name that is not Calico's stay.
      const controllersAreCalico = controllersDeployment === undefined || isCalicoControllers(controllersDeployment);
      await waitForEnd(connection, namespace, [podLabels, ...(controllersAreCalico ? [controllerLabels] : [])]);
    }),
  };
}

/** Waits until Canal's DaemonSet and the pods with one of the sets of labels are gone. */
async function waitForEnd(
  connection: ClusterConnection,
  namespace: string,
  selectors: readonly Readonly<Record<string, string>>[]
): Promise<void> {
  await poll(
    async () => {
      const remainingPods = (await listPods(connection, { namespace })).filter(({ labels }) =>
        selectors.some((matchLabels) => matchesSelector({ matchLabels }, labels))
      );
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
 */
export async function canalObjects(
  connection: ClusterConnection,
  canal: CanalInstallation | undefined
): Promise<NamedObject[]> {
  const { namespace, configMap } = canal ?? manifestLocation;
  const { objects } = connection;
  const result: NamedObject[] = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: configMap, namespace } }];
  const deployment = await readControllers(connection, namespace);
  if (deployment !== undefined && isCalicoControllers(deployment)) {
    result.push({ apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: controllers, namespace } });
    result.push({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: controllers, namespace } });
  }
  const { items } = await objects.list<V1ClusterRoleBinding>('rbac.authorization.k8s.io/v1', 'ClusterRoleBinding');
  const isCanalAccount = (subject: RbacV1Subject): boolean =>
    subject.kind === 'ServiceAccount' && subject.namespace === namespace && serviceAccounts.includes(subject.name);
  const isCanalBinding = (binding: V1ClusterRoleBinding): boolean =>
    (binding.subjects?.length ?? 0) > 0 && binding.subjects?.every(isCanalAccount) === true;
  const rolesInUse = new Set(
    items.filter((binding) => !isCanalBinding(binding)).map((binding) => binding.roleRef.name)
  );
  for (const binding of items.filter(isCanalBinding)) {
    if (!rolesInUse.has(binding.roleRef.name)) result.push(clusterObject('ClusterRole', binding.roleRef.name));
    result.push(clusterObject('ClusterRoleBinding', binding.metadata?.name ?? ''));
  }
  for (const account of serviceAccounts)
    result.push({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: account, namespace } });
  if (canal !== undefined)
    result.push({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: canal.name, namespace } });
  return result;
}

/** ClusterRoles and ClusterRoleBindings of Canal's manifest. */
const clusterRoles = ['calico-kube-controllers', 'calico-node', 'calico-cni-plugin', 'flannel'];
const clusterRoleBindings = ['calico-kube-controllers', 'canal-flannel', 'canal-calico', 'calico-cni-plugin'];

/**
 * Returns kind and name of each object of Canal's manifest that is left in the API. A role that another owner's binding
 * uses belongs to that owner.
 */
export async function listCanalObjects(connection: ClusterConnection): Promise<string[]> {
  const { core, apps, objects } = connection;
  const namespace = ciliumNamespace;
  const [accounts, maps, daemonSets, deployments, bindings, roles] = await Promise.all([
    core.listNamespacedServiceAccount({ namespace }),
    core.listNamespacedConfigMap({ namespace }),
    apps.listNamespacedDaemonSet({ namespace }),
    apps.listNamespacedDeployment({ namespace }),
    objects.list<V1ClusterRoleBinding>('rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'),
    objects.list('rbac.authorization.k8s.io/v1', 'ClusterRole'),
  ]);
  const rolesInUse = new Set(bindings.items.map((binding) => binding.roleRef.name));
  const listNamed = (kind: string, items: { metadata?: { name?: string } }[], names: readonly string[]): string[] =>
    items.flatMap(({ metadata }) =>
      metadata?.name !== undefined && names.includes(metadata.name) ? [`${kind} ${metadata.name}`] : []
    );
  return [
    ...listNamed('ServiceAccount', accounts.items, serviceAccounts),
    ...listNamed('ConfigMap', maps.items, ['canal-config']),
    ...listNamed('DaemonSet', daemonSets.items, ['canal']),
    ...listNamed('Deployment', deployments.items, [controllers]),
    ...listNamed('ClusterRoleBinding', bindings.items, clusterRoleBindings),
    ...listNamed(
      'ClusterRole',
      roles.items,
      clusterRoles.filter((name) => !rolesInUse.has(name))
    ),
  ];
}

function clusterObject(kind: string, name: string): NamedObject {
  return { apiVersion: 'rbac.authorization.k8s.io/v1', kind, metadata: { name } };
}
