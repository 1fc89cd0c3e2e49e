import { sourcePrefix, type CiliumPolicy, type CiliumRule } from './cilium.ts';
import type { LabelSelector } from '../../kubernetes/label-selectors.ts';
import { policyKey, type Direction } from './flows.ts';
import { rulesOf, type NetworkPolicy, type PolicyPeer } from './kubernetes.ts';
import { policyName } from './policy-name.ts';
import { insiders, type Networks, type Who } from './translate-peers.ts';
import { portLists } from './translate-traffic.ts';

/**
 * Builds the policy that a NetworkPolicy needs in addition, so that its ipBlocks match pods and nodes too, as with
 * Calico. It allows only what the NetworkPolicy itself allows, and is deleted with it.
 * @returns undefined when no addition is needed.
 */
export function supplement(policy: NetworkPolicy, networks: Networks): CiliumPolicy | undefined {
  const { metadata = {}, spec } = policy;
  const [ingress, egress] = [added(policy, 'ingress', networks), added(policy, 'egress', networks)];
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
      endpointSelector: prefixed(spec.podSelector ?? {}),
      enableDefaultDeny: { ingress: false, egress: false },
      ...(ingress.length > 0 && { ingress }),
      ...(egress.length > 0 && { egress }),
    },
  };
}

/** Builds the rules of one direction that are needed in addition to the policy's own. */
function added(policy: NetworkPolicy, direction: Direction, networks: Networks): CiliumRule[] {
  return rulesOf(policy, direction).flatMap(({ peers, ports }) => {
    const toPorts = portLists(
      ports.map(({ protocol = 'TCP', port = 0, endPort }) => ({
        port: String(port),
        protocol,
        ...(endPort !== undefined && { endPort }),
      }))
    );
    const who = peers.flatMap((peer) => besides(peer, direction, networks));
    return who.map((one) => ({ ...one, ...(toPorts.length > 0 && { toPorts }) }));
  });
}

/** Converts a selector of Kubernetes labels to Cilium's form. */
function prefixed({ matchLabels = {}, matchExpressions = [] }: LabelSelector): LabelSelector {
  return {
    matchLabels: Object.fromEntries(Object.entries(matchLabels).map(([key, value]) => [sourcePrefix + key, value])),
    matchExpressions: matchExpressions.map((one) => ({ ...one, key: sourcePrefix + one.key })),
  };
}

function besides({ ipBlock }: PolicyPeer, direction: Direction, networks: Networks): Who[] {
  if (ipBlock === undefined || ipBlock.cidr.includes(':')) return [];
  return insiders([ipBlock.cidr], ipBlock.except ?? [], direction, networks);
}
