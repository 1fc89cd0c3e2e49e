import type { RbacV1Subject, V1ClusterRoleBinding } from '@kubernetes/client-node';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { deleteObject, type NamedObject } from '../kubernetes/apply.ts';
import { ifFound } from '../kubernetes/errors.ts';
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

/** Creates the activity that removes Canal. */
export function createCanalActivities(onCluster: OnCluster) {
  return {
    /**
     * Removes Canal's workloads and permissions, and waits until its pods are gone. The DaemonSet is removed last, so
     * that a retry after an interruption still finds Canal and continues. Calico's custom resources stay for now: they
     * hold the operator's policies.
     */
    removeCanal: onCluster('remove Canal', async (connection): Promise<void> => {
      const canal = await findCanal(connection);
      if (canal === undefined) return;
      for (const object of await canalObjects(connection, canal)) await deleteObject(connection, object);
      const selectors = [Object.entries(canal.daemonSet.spec?.selector.matchLabels ?? {}), [['k8s-app', controllers]]];
      await poll(
        async () => {
          const remainingPods = (await listPods(connection, { namespace: canal.namespace })).filter((pod) =>
            selectors.some((labels) => labels.every(([key = '', value]) => pod.labels[key] === value))
          );
          return remainingPods.length === 0
            ? { done: undefined }
            : {
                waitingFor: `the end of ${remainingPods.length} pods of Canal: ${summarizeList(remainingPods.map((pod) => pod.name))}`,
                ...(remainingPods.length > 100 && { nextPollMs: 5_000 }),
              };
        },
        { timeoutMs: 180_000, onTimeout: 'AgentNotReady', advice: 'check these pods, then start the migration again' }
      );
    }),
  };
}

/** Returns Canal's objects, with the DaemonSet last. Each is verified by its references, not by its name alone. */
export async function canalObjects(
  connection: ClusterConnection,
  { namespace, name, configMap }: CanalInstallation
): Promise<NamedObject[]> {
  const { apps, objects } = connection;
  const result: NamedObject[] = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: configMap, namespace } }];
  const deployment = await ifFound(apps.readNamespacedDeployment({ name: controllers, namespace }));
  if (
    deployment?.spec?.template.spec?.containers.some((container) =>
      container.image?.includes('calico/kube-controllers')
    )
  ) {
    result.push({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: controllers, namespace } });
    result.push({ apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: controllers, namespace } });
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
    result.push(clusterObject('ClusterRoleBinding', binding.metadata?.name ?? ''));
    if (!rolesInUse.has(binding.roleRef.name)) result.push(clusterObject('ClusterRole', binding.roleRef.name));
  }
  for (const account of serviceAccounts)
    result.push({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: account, namespace } });
  return [...result, { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name, namespace } }];
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
