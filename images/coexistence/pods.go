package main

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Annotation in which Calico's CNI plugin stores a pod's address before the kubelet reports it (libcalico-go,
// lib/backend/k8s/conversion/constants.go); empty after the plugin has removed the pod's network.
const calicoAddress = "cni.projectcalico.org/podIP"

// podFacts contains the fields of a pod from which its endpoint and identity are built.
type podFacts struct {
	namespace, name string
	uid             types.UID
	labels          map[string]string
	serviceAccount  string
	// Address on either network; the zero address when the pod has none.
	address netip.Addr
	// True while only the pod's annotation contains the address: users who may write pods of the namespace can write it.
	claimed      bool
	node, nodeIP string
	ports        []namedPort
}

type namedPort struct {
	Name     string `json:"name"`
	Port     int64  `json:"port"`
	Protocol string `json:"protocol"`
}

// buildPodFacts extracts the facts of a pod.
func buildPodFacts(pod *corev1.Pod) podFacts {
	facts := podFacts{
		namespace: pod.Namespace, name: pod.Name, uid: pod.UID, labels: pod.Labels,
		serviceAccount: pod.Spec.ServiceAccountName, node: pod.Spec.NodeName, nodeIP: pod.Status.HostIP,
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name != "" {
				facts.ports = append(facts.ports, namedPort{port.Name, int64(port.ContainerPort), string(port.Protocol)})
			}
		}
	}
	slices.SortFunc(facts.ports, func(a, b namedPort) int { return strings.Compare(a.Name, b.Name) })
	facts.address, facts.claimed = podAddress(pod)
	return facts
}

// podAddress returns the pod's address, from Calico's annotation until the kubelet reports it: the pod only claims it then.
// Pods on the host network and finished pods have no address of their own.
func podAddress(pod *corev1.Pod) (address netip.Addr, claimed bool) {
	annotation, annotated := pod.Annotations[calicoAddress]
	finished := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if pod.Spec.HostNetwork || finished || annotated && annotation == "" {
		return netip.Addr{}, false
	}
	text := pod.Status.PodIP
	if text == "" {
		text, _, _ = strings.Cut(annotation, "/")
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, false
	}
	return address.Unmap(), pod.Status.PodIP == ""
}

// trimPod keeps only the fields that are used: the cache may hold ten thousand pods.
func trimPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	kept := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Labels: pod.Labels, ResourceVersion: pod.ResourceVersion,
		},
		Spec: corev1.PodSpec{
			HostNetwork: pod.Spec.HostNetwork, ServiceAccountName: pod.Spec.ServiceAccountName, NodeName: pod.Spec.NodeName,
		},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, PodIP: pod.Status.PodIP, HostIP: pod.Status.HostIP},
	}
	if annotation, found := pod.Annotations[calicoAddress]; found {
		kept.Annotations = map[string]string{calicoAddress: annotation}
	}
	for _, container := range pod.Spec.Containers {
		named := slices.DeleteFunc(slices.Clone(container.Ports), func(port corev1.ContainerPort) bool { return port.Name == "" })
		if len(named) > 0 {
			kept.Spec.Containers = append(kept.Spec.Containers, corev1.Container{Ports: named})
		}
	}
	return kept, nil
}
