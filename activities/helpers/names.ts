/** DaemonSet that keeps the two pod networks free of NAT. */
export const natExemption = 'nat-exemption';

/** Deployment that tells Cilium who the pods are that are still on Canal; its lease has the same name. */
export const identityBridge = 'identity-bridge';

/** Its ClusterRole and the binding of that. */
export const bridgeRole = 'cni-live-migration-identity-bridge';

/** Where Calico looks for a pod's address before the kubelet tells it; images/coexistence/pods.go. */
export const calicoAddressAnnotation = 'cni.projectcalico.org/podIP';
