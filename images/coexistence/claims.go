package main

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podFacts returns the facts of a pod, without an address that it claims and that cannot be its own. The endpoint of a pod
// that never starts would otherwise direct the packets to any address to the node of this pod, and give them its identity.
func (b *bridge) podFacts(pod *corev1.Pod) podFacts {
	facts := buildPodFacts(pod)
	if facts.claimed && !b.isPlausible(facts) {
		facts.address, facts.claimed = netip.Addr{}, false
	}
	return facts
}

// isPlausible returns true when the claimed address belongs to the pod's node, and no other pod has or claims it. Of several
// claims none is plausible, until the kubelet reports whose address it is.
func (b *bridge) isPlausible(pod podFacts) bool {
	object, found, err := b.nodes.GetStore().GetByKey(pod.node)
	if err != nil || !found {
		return false
	}
	return hasPodAddress(object.(*corev1.Node), pod.address) && len(b.othersWith(pod.address, pod.uid)) == 0
}

// hasPodAddress returns true when a pod of the node may have the address on Canal: flannel assigns the node's pod CIDR.
func hasPodAddress(node *corev1.Node, address netip.Addr) bool {
	cidrs := append([]string{node.Spec.PodCIDR}, node.Spec.PodCIDRs...)
	return slices.ContainsFunc(cidrs, func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		return err == nil && prefix.Contains(address)
	})
}

// othersWith returns the pods with an address, except one.
func (b *bridge) othersWith(address netip.Addr, except types.UID) []*corev1.Pod {
	if !address.IsValid() {
		return nil
	}
	objects, _ := b.pods.GetIndexer().ByIndex(byAddress, address.String())
	others := []*corev1.Pod{}
	for _, object := range objects {
		if pod := object.(*corev1.Pod); pod.UID != except {
			others = append(others, pod)
		}
	}
	return others
}

// indexByAddress returns the address of a pod.
func indexByAddress(object any) ([]string, error) {
	address, _ := podAddress(object.(*corev1.Pod))
	if !address.IsValid() {
		return nil, nil
	}
	return []string{address.String()}, nil
}

// trimNode keeps only the fields that are used: nodes change every few minutes, and have long lists of images.
func trimNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion},
		Spec:       corev1.NodeSpec{PodCIDR: node.Spec.PodCIDR, PodCIDRs: node.Spec.PodCIDRs},
	}, nil
}
