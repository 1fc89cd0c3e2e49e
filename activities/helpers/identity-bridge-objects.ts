import type { NamedObject } from '../kubernetes/apply.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { limitedMemory, unprivileged } from './container-security.ts';
import { scratchSpace, startup } from './container.ts';
import { bridgeRole, identityBridge } from './names.ts';

/** Input of `deployIdentityBridge`. */
export interface IdentityBridgeTarget {
  cluster: string;
  targetPodCidr: string;
  coexistenceImage: string;
}

/**
 * Builds the identity bridge's Kubernetes objects: two pods on the host network, which neither a drain nor a change of
 * the pod network moves.
 * @param config Cilium's configuration, which also defines the bridge's identities.
 */
export function bridgeObjects(
  { targetPodCidr, coexistenceImage }: Omit<IdentityBridgeTarget, 'cluster'>,
  config: Readonly<Record<string, string>>
): NamedObject[] {
  return [...bridgePermissions(), bridgeDeployment(coexistenceImage, bridgeEnvironment(targetPodCidr, config))];
}

const bridgeMeta = { name: identityBridge, namespace, labels: ownedLabels };

/** Builds the bridge's service account with its roles. */
function bridgePermissions(): NamedObject[] {
  const rbac = 'rbac.authorization.k8s.io';
  const clusterMeta = { name: bridgeRole, labels: ownedLabels };
  const subjects = [{ kind: 'ServiceAccount', name: identityBridge, namespace }];
  const leases = ['get', 'create', 'update'];
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: bridgeMeta },
    { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: clusterMeta, ...{ rules: bridgeRules } },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: clusterMeta,
      ...{ roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: bridgeRole }, subjects },
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'Role',
      metadata: bridgeMeta,
      ...{ rules: [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: leases }] },
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: bridgeMeta,
      ...{ roleRef: { apiGroup: rbac, kind: 'Role', name: identityBridge }, subjects },
    },
  ];
}

function bridgeEnvironment(targetPodCidr: string, config: Readonly<Record<string, string>>): object[] {
  const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const values = {
    TARGET_CIDR: targetPodCidr,
    CLUSTER_NAME: config['cluster-name'] ?? 'default',
    CLUSTER_ID: config['cluster-id'] ?? '0',
    LABELS: config['labels'] ?? '',
  };
  return [
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    ...Object.entries(values).map(([name, value]) => ({ name, value })),
  ];
}

function bridgeDeployment(image: string, env: readonly object[]): NamedObject {
  const podAffinityTerm = {
    topologyKey: 'kubernetes.io/hostname',
    labelSelector: { matchLabels: { app: identityBridge } },
  };
  return {
    ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
    metadata: bridgeMeta,
    ...{
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: identityBridge } },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 1 } },
        template: {
          metadata: { labels: { app: identityBridge, ...ownedLabels } },
          spec: {
            serviceAccountName: identityBridge,
            hostNetwork: true,
            priorityClassName: 'system-cluster-critical',
            terminationGracePeriodSeconds: 10,
            // Runs on any node, cordoned or not: the bridge is needed most during node operations.
            tolerations: [{ operator: 'Exists' }],
            affinity: {
              podAntiAffinity: {
                preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm }],
              },
            },
            containers: [
              {
                name: identityBridge,
                image,
                imagePullPolicy: 'IfNotPresent',
                args: ['identities'],
                env: [...env, { name: 'READY_MAX_AGE', value: '20s' }],
                startupProbe: startup,
                // The bridge runs on two nodes only, so that a process for each probe is affordable.
                readinessProbe: { exec: startup.exec, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 2 },
                securityContext: unprivileged,
                // It holds every pod, endpoint and identity of the cluster: 114 MiB with 10,000 pods (docs/performance.md).
                resources: limitedMemory('4Gi'),
                volumeMounts: scratchSpace.mounts,
              },
            ],
            volumes: scratchSpace.volumes,
          },
        },
      },
    },
  };
}

/**
 * Permissions of the bridge. It writes an annotation of pods through their status: unlike a patch of a pod, that changes
 * no image, no deadline and no toleration (k8s.io/kubernetes pkg/registry/core/pod, podStatusStrategy).
 */
const bridgeRules = [
  { apiGroups: [''], resources: ['pods', 'namespaces', 'nodes'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: [''], resources: ['pods/status'], verbs: ['patch'] },
  {
    apiGroups: ['cilium.io'],
    resources: ['ciliumendpoints'],
    verbs: ['get', 'list', 'watch', 'create', 'update', 'delete'],
  },
  { apiGroups: ['cilium.io'], resources: ['ciliumidentities'], verbs: ['get', 'list', 'watch', 'create', 'patch'] },
];
