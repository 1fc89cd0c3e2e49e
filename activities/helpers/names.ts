/** DaemonSet that keeps the two pod networks free of NAT. */
export const natExemption = 'nat-exemption';

/** Deployment that gives Cilium the identities of the pods that are still on Canal; its lease has the same name. */
export const identityBridge = 'identity-bridge';

/** ClusterRole of the identity bridge and its binding. */
export const bridgeRole = 'cni-live-migration-identity-bridge';

/** Annotation in which Calico finds a pod's address before the kubelet reports it; images/coexistence/pods.go. */
export const calicoAddressAnnotation = 'cni.projectcalico.org/podIP';
