import type { ClusterConnection } from './connection.ts';

/** A right that the worker needs. */
export interface Permission {
  group: string;
  resource: string;
  verbs: readonly string[];
  /** Where it needs it; everywhere when missing. */
  namespace?: string;
}

const read = ['get', 'list'] as const;
const write = ['get', 'create', 'patch', 'delete'] as const;

/**
 * What the worker does in a cluster, beside what Helm needs for the chart's own objects, which the server-side dry run
 * tries one by one.
 */
export const permissions: readonly Permission[] = [
  { group: '', resource: 'nodes', verbs: [...read, 'patch'] },
  { group: '', resource: 'pods', verbs: [...write, 'list'] },
  { group: '', resource: 'pods/eviction', verbs: ['create'] },
  { group: '', resource: 'pods/log', verbs: ['get'], namespace: 'cni-live-migration' },
  { group: '', resource: 'namespaces', verbs: write },
  { group: '', resource: 'services', verbs: [...write, 'list'] },
  { group: '', resource: 'configmaps', verbs: [...write, 'list'] },
  { group: '', resource: 'serviceaccounts', verbs: write },
  { group: '', resource: 'secrets', verbs: ['get', 'list', 'create', 'update', 'delete'], namespace: 'kube-system' },
  { group: '', resource: 'persistentvolumes', verbs: ['list'] },
  { group: 'apps', resource: 'daemonsets', verbs: [...write, 'list'] },
  { group: 'apps', resource: 'deployments', verbs: [...write, 'list'] },
  { group: 'apps', resource: 'controllerrevisions', verbs: ['list'], namespace: 'kube-system' },
  { group: 'policy', resource: 'poddisruptionbudgets', verbs: ['list', 'delete'] },
  { group: 'discovery.k8s.io', resource: 'endpointslices', verbs: ['list'] },
  { group: 'networking.k8s.io', resource: 'networkpolicies', verbs: ['list', 'get', 'create', 'patch'] },
  { group: 'networking.k8s.io', resource: 'servicecidrs', verbs: ['list'] },
  {
    group: 'coordination.k8s.io',
    resource: 'leases',
    verbs: ['get', 'create', 'update', 'delete'],
    namespace: 'kube-system',
  },
  { group: 'rbac.authorization.k8s.io', resource: 'roles', verbs: write },
  { group: 'rbac.authorization.k8s.io', resource: 'rolebindings', verbs: write },
  { group: 'rbac.authorization.k8s.io', resource: 'clusterroles', verbs: [...write, 'list'] },
  { group: 'rbac.authorization.k8s.io', resource: 'clusterrolebindings', verbs: [...write, 'list'] },
  { group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions', verbs: ['get', 'list', 'delete'] },
  { group: 'admissionregistration.k8s.io', resource: 'validatingwebhookconfigurations', verbs: ['list'] },
  { group: 'admissionregistration.k8s.io', resource: 'mutatingwebhookconfigurations', verbs: ['list'] },
  { group: 'crd.projectcalico.org', resource: '*', verbs: ['list'] },
  { group: 'cilium.io', resource: 'ciliumnodeconfigs', verbs: write },
  { group: 'cilium.io', resource: 'ciliumnodes', verbs: ['list'] },
];

/** Asks the API server about each right. @returns those that are missing, in words, and how many were asked for. */
export async function missingPermissions({
  authorization,
}: Pick<ClusterConnection, 'authorization'>): Promise<{ asked: number; missing: string[] }> {
  const asked = permissions.flatMap((permission) => permission.verbs.map((verb) => ({ permission, verb })));
  const answers = await Promise.all(
    asked.map(async ({ permission, verb }) => {
      const { group, resource: whole, namespace } = permission;
      const [resource, subresource] = whole.split('/');
      const review = await authorization.createSelfSubjectAccessReview({
        body: {
          spec: {
            resourceAttributes: {
              group,
              verb,
              ...(resource !== undefined && { resource }),
              ...(subresource !== undefined && { subresource }),
              ...(namespace !== undefined && { namespace }),
            },
          },
        },
      });
      return review.status?.allowed === true ? [] : [text(permission, verb)];
    })
  );
  return { asked: asked.length, missing: answers.flat() };
}

function text({ group, resource, namespace }: Permission, verb: string): string {
  const where = namespace === undefined ? '' : ` in ${namespace}`;
  return `${verb} ${resource}${group === '' ? '' : `.${group}`}${where}`;
}
