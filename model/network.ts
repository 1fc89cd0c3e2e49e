/** The two pod networks: the source network, Canal, and the target network, Cilium. */
export type Network = 'canal' | 'cilium';
