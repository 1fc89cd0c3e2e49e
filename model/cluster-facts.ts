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
}
