import type { FailureType } from './failure-types.ts';
import type { MigrationInput } from './input.ts';
import { blockCount, overlapping, type NamedNetwork } from './networks.ts';

/** What was read from a cluster before anything is changed. */
export interface ClusterFacts {
  /** Kubernetes' version of the API server. */
  kubernetesVersion: string;
  /** Canal as found; undefined when Canal was removed and Cilium is in its place, that is, after a migration. */
  canal?: {
    /** Version of the calico-node image's tag. */
    version: string;
    podCidr: string;
    vni: number;
    /** UDP port of Flannel's VXLAN. */
    port: number;
  };
  /** Cilium writes the CNI file of every node by itself: the cut-over has been. */
  ciliumOwnsCni: boolean;
  /** Something of Canal's or of ours is left to remove, seen from the API: only asked when Canal itself is gone. */
  leftovers: boolean;
  nodeCount: number;
  /** Networks in use, for the overlap check. */
  networks: NamedNetwork[];
}

/** One reason not to begin. */
export interface Objection {
  type: FailureType;
  message: string;
}

/** Why a cluster cannot be migrated with this input; empty when it can. */
export function objections(facts: ClusterFacts, input: MigrationInput): Objection[] {
  const found: Objection[] = [];
  const shared = overlapping(input.podCidr, facts.networks);
  if (shared.length > 0) {
    const names = shared.map(({ cidr, owner }) => `${cidr} (${owner})`).join(', ');
    const message = `podCidr ${input.podCidr} overlaps with ${names}; choose a CIDR that nothing in or near the cluster uses`;
    found.push({ type: 'UnsuitablePodCidr', message });
  }
  const blocks = blockCount(input.podCidr, input.nodeMaskSize);
  if (blocks < facts.nodeCount) {
    const message = `podCidr ${input.podCidr} holds ${blocks} node ranges of /${input.nodeMaskSize}, and the cluster has ${facts.nodeCount} nodes; choose a larger podCidr or a longer nodeMaskSize`;
    found.push({ type: 'UnsuitablePodCidr', message });
  }
  if (facts.canal?.port === input.tunnelPort) {
    const message = `tunnelPort ${input.tunnelPort} is the port of Flannel's VXLAN; two VXLAN devices cannot share a port: choose another tunnelPort`;
    found.push({ type: 'TunnelPortInUse', message });
  }
  return found;
}
