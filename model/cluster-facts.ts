import type { Decision } from './decision.ts';
import type { UnfinishedRecord } from './remaining-nodes.ts';

/** State of a cluster, read before anything is changed. */
export interface ClusterFacts {
  /** Kubernetes version of the API server. */
  kubernetesVersion: string;
  /**
   * Canal as found; undefined after a migration, when Cilium has replaced Canal, and as soon as the removal of Canal has
   * started.
   */
  canal?: {
    /** Version from the tag of the calico-node image. */
    version: string;
    podCidr: string;
    vni: number;
    /** UDP port of Flannel's VXLAN. */
    port: number;
  };
  /** True after the cutover: Cilium writes the CNI file of every node. */
  ciliumOwnsCni: boolean;
  /**
   * True when the API server still has objects of Canal or of this service to remove. Only read when Canal itself is
   * gone, or when its removal has started.
   */
  leftovers: boolean;
  /**
   * Approval of Canal's removal, once the removal has begun, by this run or an earlier one. Nothing is rolled back to
   * Canal then.
   */
  pointOfNoReturn?: Decision;
  /** Request of a rollback of all nodes that has begun, in this run or an earlier one, and is not complete. */
  rollbackBegun?: Decision;
  /** Nodes without which an earlier run has ended. Undefined without a record of them. */
  unfinished?: UnfinishedRecord;
}
