import { approvalGroup, approvalResource } from '../model/migration-approval.ts';
import { calicoGroup } from './canal/export.ts';
import { policyGroup, policyResources } from './canal/policy-definitions.ts';
import { controllers } from './canal/removal.ts';
import { ciliumGroup } from './cilium/export.ts';
import { bridgeRole, identityBridge } from './helpers/names.ts';
import { approvalPolicy } from './kubernetes/approval-policy.ts';
import { prober } from './helpers/prober-ports.ts';
import type { ClusterConnection } from './kubernetes/connection.ts';
import { ciliumSecretsNamespace, helperNamespace } from './kubernetes/names.ts';

/** A permission that the worker needs. */
export interface Permission {
  group: string;
  resource: string;
  verbs: readonly string[];
  /**
   * Namespace in which the worker needs it.
   * @default all namespaces
   */
  namespace?: string;
  /**
   * Names of the only objects that it is needed for.
   * @default all objects
   */
  names?: readonly string[];
}

const read = ['get', 'list'] as const;
const write = ['get', 'create', 'patch', 'delete'] as const;

/**
 * Roles of Cilium's chart, over all of its features. Creating a role requires the permissions in it, or permission to
 * escalate for that role.
 */
const ciliumRoles = [
  'cilium',
  'cilium-bgp-control-plane-secrets',
  'cilium-config-agent',
  'cilium-envoy',
  'cilium-gateway-secrets',
  'cilium-ingress-secrets',
  'cilium-operator',
  'cilium-operator-gateway-secrets',
  'cilium-operator-ingress-secrets',
  'cilium-operator-tlsinterception-secrets',
  'cilium-operator-ztunnel',
  'cilium-tlsinterception-secrets',
  'hubble-generate-certs',
  'hubble-ui',
] as const;

/** Resources that Calico v3.26 to v3.30 defines. All of them are exported before they are removed. */
const calicoResources = [
  'bgpconfigurations',
  'bgpfilters',
  'bgppeers',
  'blockaffinities',
  'caliconodestatuses',
  'clusterinformations',
  'felixconfigurations',
  'globalnetworkpolicies',
  'globalnetworksets',
  'hostendpoints',
  'ipamblocks',
  'ipamconfigs',
  'ipamhandles',
  'ippools',
  'ipreservations',
  'kubecontrollersconfigurations',
  'networkpolicies',
  'networksets',
  'stagedglobalnetworkpolicies',
  'stagedkubernetesnetworkpolicies',
  'stagednetworkpolicies',
  'tiers',
] as const;

/**
 * Resources of which a rollback exports the users' objects: all that Cilium 1.20 defines, without those that it
 * generates and those that are listed below with more verbs.
 */
const ciliumResources = [
  'ciliumbgpadvertisements',
  'ciliumbgpclusterconfigs',
  'ciliumbgpnodeconfigoverrides',
  'ciliumbgppeerconfigs',
  'ciliumcidrgroups',
  'ciliumclusterwideenvoyconfigs',
  'ciliumdatapathplugins',
  'ciliumegressgatewaypolicies',
  'ciliumenvoyconfigs',
  'ciliumgatewayclassconfigs',
  'ciliuml2announcementpolicies',
  'ciliumloadbalancerippools',
  'ciliumlocalredirectpolicies',
  'ciliumpodippools',
] as const;

/** Resources of Cilium 1.20 that its agents and its operator write. They are removed, and not exported. */
const generatedCiliumResources = ['ciliumbgpnodeconfigs', 'ciliumendpointslices', 'ciliumidentities'] as const;

/** Resources of Cilium that the worker also writes, or reads on its own. */
const ownCiliumResources = [
  'ciliumclusterwidenetworkpolicies',
  'ciliumendpoints',
  'ciliumnetworkpolicies',
  'ciliumnodeconfigs',
  'ciliumnodes',
] as const;

/** Names of the CRDs that a cleanup or a rollback removes. */
export const removableDefinitions: readonly string[] = [
  ...calicoResources.map((resource) => `${resource}.${calicoGroup}`),
  ...policyResources.map((resource) => `${resource}.${policyGroup}`),
  ...[...ciliumResources, ...generatedCiliumResources, ...ownCiliumResources].map(
    (resource) => `${resource}.${ciliumGroup}`
  ),
];

/** Namespaces that a migration creates and removes: that of its helpers, and that of Cilium's chart. */
export const managedNamespaces: readonly string[] = [helperNamespace, ciliumSecretsNamespace];

/**
 * Operations of the worker in a cluster. The list leaves out what Helm needs for the chart's own objects: the
 * server-side dry run tries these one by one.
 */
export const permissions: readonly Permission[] = [
  { group: '', resource: 'nodes', verbs: [...read, 'patch'] },
  // Without patch, which would include the images of all pods.
  { group: '', resource: 'pods', verbs: [...read, 'create', 'delete'] },
  { group: '', resource: 'pods/status', verbs: ['patch'] },
  { group: '', resource: 'pods/eviction', verbs: ['create'] },
  { group: '', resource: 'pods/log', verbs: ['get'], namespace: helperNamespace },
  { group: '', resource: 'namespaces', verbs: ['list', 'create'] },
  { group: '', resource: 'namespaces', verbs: ['get', 'patch', 'delete'], names: managedNamespaces },
  { group: '', resource: 'services', verbs: [...write, 'list'] },
  { group: '', resource: 'configmaps', verbs: [...write, 'list'] },
  // The probers' permission: granting it requires holding it.
  { group: '', resource: 'configmaps', verbs: ['watch'], namespace: helperNamespace },
  { group: '', resource: 'serviceaccounts', verbs: [...write, 'list'] },
  { group: '', resource: 'secrets', verbs: [...write, 'list', 'update'], namespace: 'kube-system' },
  { group: '', resource: 'persistentvolumes', verbs: ['list'] },
  { group: 'apps', resource: 'daemonsets', verbs: [...write, 'list'] },
  { group: 'apps', resource: 'deployments', verbs: [...write, 'list'] },
  { group: 'apps', resource: 'controllerrevisions', verbs: ['list'], namespace: 'kube-system' },
  { group: 'apps', resource: 'controllerrevisions', verbs: ['list'], namespace: helperNamespace },
  { group: 'policy', resource: 'poddisruptionbudgets', verbs: read },
  { group: 'policy', resource: 'poddisruptionbudgets', verbs: ['delete'], names: [controllers] },
  { group: 'discovery.k8s.io', resource: 'endpointslices', verbs: [...read, 'watch'] },
  { group: 'networking.k8s.io', resource: 'networkpolicies', verbs: read },
  { group: 'networking.k8s.io', resource: 'networkpolicies', verbs: ['create', 'patch'], namespace: helperNamespace },
  // Of the probers, in a namespace that stays.
  {
    group: 'networking.k8s.io',
    resource: 'networkpolicies',
    verbs: ['delete'],
    namespace: helperNamespace,
    names: [prober],
  },
  { group: 'networking.k8s.io', resource: 'servicecidrs', verbs: ['list'] },
  {
    group: 'coordination.k8s.io',
    resource: 'leases',
    verbs: ['get', 'create', 'update', 'delete'],
    namespace: 'kube-system',
  },
  {
    group: 'coordination.k8s.io',
    resource: 'leases',
    verbs: ['delete'],
    namespace: helperNamespace,
    names: [identityBridge],
  },
  { group: 'rbac.authorization.k8s.io', resource: 'roles', verbs: write },
  { group: 'rbac.authorization.k8s.io', resource: 'rolebindings', verbs: [...write, 'list'] },
  { group: 'rbac.authorization.k8s.io', resource: 'clusterroles', verbs: [...write, 'list'] },
  { group: 'rbac.authorization.k8s.io', resource: 'clusterrolebindings', verbs: [...write, 'list'] },
  { group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions', verbs: read },
  {
    group: 'apiextensions.k8s.io',
    resource: 'customresourcedefinitions',
    verbs: ['delete'],
    names: removableDefinitions,
  },
  { group: 'admissionregistration.k8s.io', resource: 'validatingwebhookconfigurations', verbs: ['list'] },
  { group: 'admissionregistration.k8s.io', resource: 'mutatingwebhookconfigurations', verbs: ['list'] },
  // What an approval in the cluster proves: the worker reads approvals, and cannot create one.
  { group: approvalGroup, resource: approvalResource, verbs: ['list'] },
  {
    group: 'admissionregistration.k8s.io',
    resource: 'validatingadmissionpolicies',
    verbs: ['get'],
    names: [approvalPolicy],
  },
  {
    group: 'admissionregistration.k8s.io',
    resource: 'validatingadmissionpolicybindings',
    verbs: ['get'],
    names: [approvalPolicy],
  },
  { group: 'rbac.authorization.k8s.io', resource: 'roles', verbs: ['bind', 'escalate'], names: ciliumRoles },
  // The probers' own role: a dry run binds it before it exists, so the API server cannot compare the permissions in it.
  { group: 'rbac.authorization.k8s.io', resource: 'roles', verbs: ['bind'], names: ['prober'] },
  { group: 'rbac.authorization.k8s.io', resource: 'roles', verbs: ['bind', 'escalate'], names: [identityBridge] },
  {
    group: 'rbac.authorization.k8s.io',
    resource: 'clusterroles',
    verbs: ['bind', 'escalate'],
    names: [...ciliumRoles, bridgeRole],
  },
  ...calicoResources.map((resource) => ({ group: calicoGroup, resource, verbs: ['list'] as const })),
  ...ciliumResources.map((resource) => ({ group: ciliumGroup, resource, verbs: ['list'] as const })),
  { group: 'cilium.io', resource: 'ciliumnodeconfigs', verbs: [...write, 'list'] },
  ...policyResources.map((resource) => ({
    group: policyGroup,
    resource,
    verbs: ['list'] as const,
  })),
  { group: 'cilium.io', resource: 'ciliumnodes', verbs: ['list'] },
  { group: 'cilium.io', resource: 'ciliumendpoints', verbs: ['list', 'delete'] },
  { group: 'cilium.io', resource: 'ciliumnetworkpolicies', verbs: [...write, 'list'] },
  { group: 'cilium.io', resource: 'ciliumclusterwidenetworkpolicies', verbs: [...write, 'list'] },
];

/**
 * Asks the API server about each permission.
 * @returns the missing permissions as text, and the number of permissions that were checked.
 */
export async function missingPermissions({
  authorization,
}: Pick<ClusterConnection, 'authorization'>): Promise<{ checked: number; missing: string[] }> {
  const reviews = permissions.flatMap((permission) =>
    (permission.names ?? [undefined]).flatMap((name) => permission.verbs.map((verb) => ({ permission, verb, name })))
  );
  const missing = await Promise.all(
    reviews.map(async ({ permission, verb, name }) => {
      const { group, resource: fullResource, namespace } = permission;
      const [resource, subresource] = fullResource.split('/');
      const review = await authorization.createSelfSubjectAccessReview({
        body: {
          spec: {
            resourceAttributes: {
              group,
              verb,
              ...(resource !== undefined && { resource }),
              ...(subresource !== undefined && { subresource }),
              ...(namespace !== undefined && { namespace }),
              ...(name !== undefined && { name }),
            },
          },
        },
      });
      return review.status?.allowed === true ? [] : [permissionText(permission, verb, name)];
    })
  );
  return { checked: reviews.length, missing: missing.flat() };
}

function permissionText({ group, resource, namespace }: Permission, verb: string, name?: string): string {
  const where = namespace === undefined ? '' : ` in ${namespace}`;
  const which = name === undefined ? '' : ` ${name}`;
  return `${verb} ${resource}${group === '' ? '' : `.${group}`}${which}${where}`;
}
