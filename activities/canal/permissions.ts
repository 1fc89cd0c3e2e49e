import type { KubernetesObject, RbacV1Subject, V1RoleRef } from '@kubernetes/client-node';
import { listKnown, type NamedObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';

const apiVersion = 'rbac.authorization.k8s.io/v1';

/** ServiceAccounts of Canal's manifest (calico manifests/canal.yaml, v3.28). */
export const serviceAccounts = ['canal', 'calico-cni-plugin', 'calico-kube-controllers'];

/**
 * ClusterRole of the manifest, and its binding, with which Kubernetes' own controllers read Calico's tiers (since v3.30).
 * Its subject is not one of Canal's accounts.
 */
export const tierGetter = 'calico-tier-getter';

/** ClusterRoles and ClusterRoleBindings of Canal's manifest. */
export const clusterRoles = ['calico-kube-controllers', 'calico-node', 'calico-cni-plugin', 'flannel', tierGetter];
const clusterRoleBindings = [
  'calico-kube-controllers',
  'canal-flannel',
  'canal-calico',
  'calico-cni-plugin',
  tierGetter,
];

/** A ClusterRoleBinding or RoleBinding. */
type Binding = KubernetesObject & { roleRef: V1RoleRef; subjects?: RbacV1Subject[] };

/**
 * Returns Canal's ClusterRoleBindings, each after the ClusterRole that it binds. A ClusterRole belongs to Canal when its
 * manifest defines it and no binding of another owner uses it. A binding belongs to Canal when it only grants something
 * to Canal's accounts.
 */
export async function listCanalPermissions(connection: ClusterConnection, namespace: string): Promise<NamedObject[]> {
  const clusterBindings = await listKnown<Binding>(connection, apiVersion, 'ClusterRoleBinding');
  const rolesInUse = listRoles([
    ...clusterBindings.filter((binding) => !isCanalBinding(binding, namespace)),
    ...(await listRoleBindings(connection)).filter((binding) => !isCanalBinding(binding, namespace)),
  ]);
  return clusterBindings
    .filter((binding) => isCanalBinding(binding, namespace))
    .flatMap(({ roleRef, metadata }) => [
      ...(clusterRoles.includes(roleRef.name) && !rolesInUse.has(roleRef.name)
        ? [clusterObject('ClusterRole', roleRef.name)]
        : []),
      clusterObject('ClusterRoleBinding', metadata?.name ?? ''),
    ]);
}

/** Returns kind and name of the manifest's ClusterRoles and ClusterRoleBindings that are left and not used by others. */
export async function listLeftPermissions(connection: ClusterConnection): Promise<string[]> {
  const bindings = await listKnown<Binding>(connection, apiVersion, 'ClusterRoleBinding');
  const rolesInUse = listRoles([...bindings, ...(await listRoleBindings(connection))]);
  const roles = await listKnown(connection, apiVersion, 'ClusterRole');
  const listNamed = (objects: readonly KubernetesObject[], names: readonly string[]): string[] =>
    objects.map(({ metadata }) => metadata?.name ?? '').filter((name) => names.includes(name));
  return [
    ...listNamed(bindings, clusterRoleBindings).map((name) => `ClusterRoleBinding ${name}`),
    ...listNamed(roles, clusterRoles)
      .filter((name) => !rolesInUse.has(name))
      .map((name) => `ClusterRole ${name}`),
  ];
}

function listRoleBindings(connection: ClusterConnection): Promise<Binding[]> {
  return listKnown<Binding>(connection, apiVersion, 'RoleBinding');
}

/** Returns the names of the ClusterRoles that bindings use. */
function listRoles(bindings: readonly Binding[]): Set<string> {
  return new Set(bindings.flatMap(({ roleRef }) => (roleRef.kind === 'ClusterRole' ? [roleRef.name] : [])));
}

function isCanalBinding({ kind, metadata, roleRef, subjects = [] }: Binding, namespace: string): boolean {
  const isCanalAccount = (subject: RbacV1Subject): boolean =>
    subject.kind === 'ServiceAccount' && subject.namespace === namespace && serviceAccounts.includes(subject.name);
  const isTierGetter = kind === 'ClusterRoleBinding' && metadata?.name === tierGetter && roleRef.name === tierGetter;
  return isTierGetter || (subjects.length > 0 && subjects.every(isCanalAccount));
}

function clusterObject(kind: string, name: string): NamedObject {
  return { apiVersion, kind, metadata: { name } };
}
