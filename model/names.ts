/** Node label that flips a node: the CiliumNodeConfig selects it. The name is from Cilium's own guide. */
export const flipLabel = 'io.cilium.migration/cilium-default';

/** ConfigMap next to Cilium's own, with the CNI file that agents write on nodes owned by Cilium. */
export const cniChainName = 'cilium-cni-chain';

/** Key of the CNI file in the ConfigMap. */
export const cniChainKey = '05-cilium.conflist';
