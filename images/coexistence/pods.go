package main

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Where Calico's CNI plugin writes a pod's address down before the kubelet tells it (libcalico-go,
// lib/backend/k8s/conversion/constants.go); empty once the pod has no network any more.
const calicoAddress = "cni.projectcalico.org/podIP"

// podFacts is what an identity is made of.
type podFacts struct {
	namespace, name string
	uid             types.UID
	labels          map[string]string
	serviceAccount  string
	// address on whichever network it is; the zero address when it has none, or none any more
	address netip.Addr
	nodeIP  string
	ports   []namedPort
}

type namedPort struct {
	Name     string `json:"name"`
	Port     int64  `json:"port"`
	Protocol string `json:"protocol"`
}

// factsOf narrows a pod. Pods on the host's network, and those that have ended, have no address of their own.
func factsOf(pod *corev1.Pod) podFacts {
	facts := podFacts{
		namespace: pod.Namespace, name: pod.Name, uid: pod.UID, labels: pod.Labels,
		serviceAccount: pod.Spec.ServiceAccountName, nodeIP: pod.Status.HostIP,
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name != "" {
				facts.ports = append(facts.ports, namedPort{port.Name, int64(port.ContainerPort), string(port.Protocol)})
			}
		}
	}
	slices.SortFunc(facts.ports, func(a, b namedPort) int { return strings.Compare(a.Name, b.Name) })
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if pod.Spec.HostNetwork || ended {
		return facts
	}
	facts.address = addressOf(pod)
	return facts
}

// addressOf is the pod's address, from Calico's annotation until the kubelet tells it.
func addressOf(pod *corev1.Pod) netip.Addr {
	written, annotated := pod.Annotations[calicoAddress]
	if annotated && written == "" {
		return netip.Addr{}
	}
	text := pod.Status.PodIP
	if text == "" {
		text, _, _ = strings.Cut(written, "/")
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return address
}

// slim drops what is not needed of a pod: ten thousand of them are kept.
func slim(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	kept := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Labels: pod.Labels, ResourceVersion: pod.ResourceVersion,
		},
		Spec: corev1.PodSpec{
			HostNetwork: pod.Spec.HostNetwork, ServiceAccountName: pod.Spec.ServiceAccountName,
		},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, PodIP: pod.Status.PodIP, HostIP: pod.Status.HostIP},
	}
	if written, found := pod.Annotations[calicoAddress]; found {
		kept.Annotations = map[string]string{calicoAddress: written}
	}
	for _, container := range pod.Spec.Containers {
		named := slices.DeleteFunc(slices.Clone(container.Ports), func(port corev1.ContainerPort) bool { return port.Name == "" })
		if len(named) > 0 {
			kept.Spec.Containers = append(kept.Spec.Containers, corev1.Container{Ports: named})
		}
	}
	return kept, nil
}
