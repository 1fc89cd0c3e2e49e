/** Node label that flips a node: the CiliumNodeConfig selects it. The name is the one of Cilium's own guide. */
export const flipLabel = 'io.cilium.migration/cilium-default';

/** ConfigMap beside Cilium's own, with the CNI file that agents write on the nodes that Cilium owns. */
export const cniChainName = 'cilium-cni-chain';

/** Key in it. */
export const cniChainKey = '05-cilium.conflist';
