import type { KubernetesObject, V1RoleBinding } from '@kubernetes/client-node';
import { oneLine } from '../../model/printable.ts';
import { summarizeList } from '../../model/summarize.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { recordText, type NamespaceRecord } from '../kubernetes/namespace-record.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { identityBridge } from './names.ts';
import { prober } from './prober-ports.ts';

/** Maximum number of pods of others that are named. */
const maxNamed = 10;

/** Selects the pods without our label. */
const notOurs = Object.entries(ownedLabels)
  .map(([label, value]) => `${label}!=${value}`)
  .join(',');

/** Returns the objects of a kind in our namespace. */
export function listInNamespace<T extends KubernetesObject>(
  { objects }: ClusterConnection,
  apiVersion: string,
  kind: string
): Promise<T[]> {
  return allPages(({ limit, _continue }) => {
    const unused = [undefined, undefined, undefined, undefined, undefined] as const;
    return objects.list<T>(apiVersion, kind, namespace, ...unused, limit, _continue);
  });
}

/**
 * Returns the role bindings and pods in our namespace that this service did not create, by kind and name: with them,
 * others could use its privileges. Before the UID of the namespace is recorded, nothing in it is ours. Afterwards, pods
 * are recognized by their label: creating one requires a role binding.
 */
export async function listForeignContents(
  connection: ClusterConnection,
  { uid, roleBindings }: NamespaceRecord
): Promise<string[]> {
  const bindings = await listInNamespace<V1RoleBinding>(connection, 'rbac.authorization.k8s.io/v1', 'RoleBinding');
  const foreign = bindings.filter(
    (binding) => !roleBindings.includes(binding.metadata?.name ?? '') && !(uid !== undefined && isOwnBinding(binding))
  );
  const selector = uid === undefined ? {} : { labelSelector: notOurs };
  const pods = await connection.core.listNamespacedPod({ namespace, limit: maxNamed, ...selector });
  return [
    ...foreign.map(({ metadata }) => `RoleBinding ${oneLine(metadata?.name ?? '')}`),
    ...pods.items.map(({ metadata }) => `Pod ${metadata?.name}`),
  ];
}

/** Returns true for a binding of a helper's role to its service account, and to no one else. */
function isOwnBinding({ metadata, roleRef, subjects = [] }: V1RoleBinding): boolean {
  const name = metadata?.name ?? '';
  return (
    [prober, identityBridge].includes(name) &&
    roleRef.kind === 'Role' &&
    roleRef.name === name &&
    subjects.every((one) => one.kind === 'ServiceAccount' && one.name === name && one.namespace === namespace)
  );
}

/** Returns why these objects are a problem, and what to do; undefined without any. */
export function describeForeignContents(contents: readonly string[]): string | undefined {
  if (contents.length === 0) return undefined;
  return `namespace ${namespace} contains objects of others, which could control the nodes: ${summarizeList(contents, maxNamed)}; delete them, or allow role bindings by name in ${recordText}, as docs/install.md describes`;
}
