import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { helperNamespace } from '../../activities/kubernetes/names.ts';
import { permissions, type Permission } from '../../activities/permissions.ts';

/** Name of the worker's account and of its roles; the namespace of the account. */
export const accountName = 'cni-migration-worker';
export const accountNamespace = 'cni-migration';

const name = accountName;
const namespace = accountNamespace;

const header = `# The permissions that the worker needs in a cluster that it migrates, and no others. Generated from
# activities/permissions.ts by "npm run docs"; the check "permissions" requires the same.
#
# The worker may create privileged pods on any node: its credentials give access to the nodes. The policy in
# deploy/admission/worker.yaml limits what a role cannot. Remove both after the migration:
#   kubectl delete -f deploy/admission/worker.yaml -f deploy/rbac/worker.yaml
`;

/** Returns the worker's account and permissions as YAML. */
export function workerRbac(): string {
  const labels = { 'app.kubernetes.io/name': 'cni-live-migration' };
  const metadata = { name, labels };
  const subjects = [{ kind: 'ServiceAccount', name, namespace }];
  const api = 'rbac.authorization.k8s.io';
  const apiVersion = `${api}/v1`;
  const namespaces = [...new Set(permissions.flatMap((one) => (isClusterWide(one) ? [] : (one.namespace ?? []))))];
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, namespace } },
    { apiVersion, kind: 'ClusterRole', metadata, rules: rules(permissions.filter(isClusterWide)) },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: api, kind: 'ClusterRole', name },
      subjects,
    },
    ...namespaces.flatMap((one) => [
      {
        apiVersion,
        kind: 'Role',
        metadata: { ...metadata, namespace: one },
        rules: rules(permissions.filter((permission) => permission.namespace === one)),
      },
      {
        apiVersion,
        kind: 'RoleBinding',
        metadata: { ...metadata, namespace: one },
        roleRef: { apiGroup: api, kind: 'Role', name },
        subjects,
      },
    ]),
  ];
  return header + objects.map((object) => `---\n${stringify(object)}`).join('');
}

/**
 * True for permissions in a ClusterRole. The helpers' namespace is created and deleted with every migration, so no role
 * can be kept in it.
 */
function isClusterWide({ namespace: where }: Permission): boolean {
  return where === undefined || where === helperNamespace;
}

function rules(some: readonly Permission[]): object[] {
  return some.map(({ group, resource, verbs, names }) => ({
    apiGroups: [group],
    resources: [resource],
    verbs: [...verbs],
    ...(names && { resourceNames: [...names] }),
  }));
}

if (process.argv[1] === import.meta.filename) {
  await writeFile(path.join(import.meta.dirname, 'worker.yaml'), workerRbac());
}
