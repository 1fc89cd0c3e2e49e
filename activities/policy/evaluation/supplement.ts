import { sourcePrefix, type CiliumPolicy, type CiliumRule } from './cilium.ts';
import type { LabelSelector } from '../../kubernetes/label-selectors.ts';
import { policyKey, type Direction } from './flows.ts';
import { networkPolicyRules, type NetworkPolicy, type PolicyPeer } from './kubernetes.ts';
import { policyName } from './policy-name.ts';
import { clusterPeers, type Networks, type Peers } from './translate-peers.ts';
import { portLists } from './translate-traffic.ts';

/**
 * Builds the policy that a NetworkPolicy needs in addition, so that its ipBlocks match pods and nodes too, as with
 * Calico. It allows only what the NetworkPolicy itself allows, and is deleted with it.
 * @returns undefined when no addition is needed.
 */
export function buildSupplement(policy: NetworkPolicy, networks: Networks): CiliumPolicy | undefined {
  const { metadata = {}, spec } = policy;
  const [ingress, egress] = [supplementRules(policy, 'ingress', networks), supplementRules(policy, 'egress', networks)];
  if (ingress.length === 0 && egress.length === 0) return undefined;
  const { name = '', namespace = '', uid } = metadata;
  const owner = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', name };
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: {
      name: policyName('ipblock', name),
      namespace,
      ...(uid !== undefined && { ownerReferences: [{ ...owner, uid }] }),
    },
    spec: {
      description: `pods and nodes within the ipBlocks of ${policyKey(policy)}`,
      endpointSelector: withSourcePrefix(spec.podSelector ?? {}),
      enableDefaultDeny: { ingress: false, egress: false },
      ...(ingress.length > 0 && { ingress }),
      ...(egress.length > 0 && { egress }),
    },
  };
}

/** Builds the rules of one direction that are needed in addition to the policy's own. */
function supplementRules(policy: NetworkPolicy, direction: Direction, networks: Networks): CiliumRule[] {
  return networkPolicyRules(policy, direction).flatMap(({ peers, ports }) => {
    const toPorts = portLists(
      ports.map(({ protocol = 'TCP', port = 0, endPort }) => ({
        port: String(port),
        protocol,
        ...(endPort !== undefined && { endPort }),
      }))
    );
    const rulePeers = peers.flatMap((peer) => supplementPeers(peer, direction, networks));
    return rulePeers.map((peer) => ({ ...peer, ...(toPorts.length > 0 && { toPorts }) }));
  });
}

/** Converts a selector of Kubernetes labels to Cilium's form. */
function withSourcePrefix({ matchLabels = {}, matchExpressions = [] }: LabelSelector): LabelSelector {
  return {
    matchLabels: Object.fromEntries(Object.entries(matchLabels).map(([key, value]) => [sourcePrefix + key, value])),
    matchExpressions: matchExpressions.map((requirement) => ({ ...requirement, key: sourcePrefix + requirement.key })),
  };
}

function supplementPeers({ ipBlock }: PolicyPeer, direction: Direction, networks: Networks): Peers[] {
  if (ipBlock === undefined || ipBlock.cidr.includes(':')) return [];
  return clusterPeers([ipBlock.cidr], ipBlock.except ?? [], direction, networks);
}
