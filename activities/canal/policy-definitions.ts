import type { V1CustomResourceDefinition } from '@kubernetes/client-node';
import { listKnown } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { listDefinitions } from '../kubernetes/crds.ts';

/** API group of the Kubernetes network policy API. */
export const policyGroup = 'policy.networking.k8s.io';

/** CRDs of that API in Calico's manifest (calico manifests/canal.yaml, since v3.29). */
export const policyResources = ['adminnetworkpolicies', 'baselineadminnetworkpolicies', 'clusternetworkpolicies'];

/** Keys of labels and annotations with which other tools mark their objects. */
const ownerKeys = ['app.kubernetes.io/managed-by', 'meta.helm.sh/release-name', 'argocd.argoproj.io/tracking-id'];

/**
 * Returns the CRDs of the network policy API that came with Canal and that nobody uses. These CRDs are not Calico's own:
 * one with objects, or of another tool, stays.
 */
export async function listUnusedPolicyDefinitions(
  connection: ClusterConnection
): Promise<V1CustomResourceDefinition[]> {
  const unused: V1CustomResourceDefinition[] = [];
  for (const definition of await listDefinitions(connection, policyGroup)) {
    const { metadata, spec } = definition;
    const keys = Object.keys({ ...metadata?.labels, ...metadata?.annotations });
    const version = spec.versions.find(({ storage }) => storage)?.name ?? '';
    if (!policyResources.includes(spec.names.plural) || ownerKeys.some((key) => keys.includes(key))) continue;
    const objects = await listKnown(connection, `${policyGroup}/${version}`, spec.names.kind);
    if (objects.length === 0) unused.push(definition);
  }
  return unused;
}
