package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// reconcile writes, updates or removes the endpoint of one pod. It returns the delay of the next reconciliation, or 0 when
// none is needed.
func (b *bridge) reconcile(ctx context.Context, item task) (time.Duration, error) {
	pod := b.currentPod(item)
	existing := b.endpointNamed(item.namespace, endpointName(item.uid))
	if pod != nil && !pod.address.IsValid() {
		return 0, errors.Join(b.publishAddress(ctx, *pod), b.remove(ctx, existing))
	}
	if pod == nil || b.target.Contains(pod.address) {
		return 0, b.remove(ctx, existing)
	}
	if pod.nodeIP == "" {
		return 100 * time.Millisecond, nil
	}
	namespace, found, err := b.namespaces.GetStore().GetByKey(pod.namespace)
	if err != nil || !found {
		return 100 * time.Millisecond, err
	}
	security := b.filter.securityLabels(*pod, namespace.(*corev1.Namespace).Labels, b.cluster)
	id, age, err := b.identityFor(ctx, security)
	if err != nil {
		return 0, err
	}
	desired := buildEndpoint(*pod, id, security)
	switch {
	case existing == nil:
		object, err := toUnstructured(desired)
		if err != nil {
			return 0, err
		}
		_, err = b.dynamic.Resource(endpointsResource).Namespace(pod.namespace).Create(ctx, object, metav1.CreateOptions{})
		return 0, err
	case existing.sameStatus(desired):
		return 0, nil
	case age < identityGrace:
		// The pod keeps its previous identity until agents had time to read the new one.
		return identityGrace - age, nil
	}
	desired.ResourceVersion = existing.ResourceVersion
	object, err := toUnstructured(desired)
	if err != nil {
		return 0, err
	}
	_, err = b.dynamic.Resource(endpointsResource).Namespace(pod.namespace).Update(ctx, object, metav1.UpdateOptions{})
	return 0, err
}

// currentPod returns the pod in its current state, or nil when it was removed, even if another pod has its name.
func (b *bridge) currentPod(item task) *podFacts {
	object, found, err := b.pods.GetStore().GetByKey(item.namespace + "/" + item.name)
	if err != nil || !found {
		return nil
	}
	pod := object.(*corev1.Pod)
	if pod.UID != item.uid {
		return nil
	}
	facts := b.podFacts(pod)
	return &facts
}

func (b *bridge) endpointNamed(namespace, name string) *endpoint {
	object, found, err := b.endpoints.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	return object.(*endpoint)
}

// remove removes an endpoint, unless an agent owns it.
func (b *bridge) remove(ctx context.Context, existing *endpoint) error {
	if existing == nil || existing.Labels[managedBy] != project {
		return nil
	}
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &existing.UID}}
	err := b.dynamic.Resource(endpointsResource).Namespace(existing.Namespace).Delete(ctx, existing.Name, options)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// publishAddress writes the address of a new Cilium pod into the annotation that Calico's agents read. The kubelet reports
// the address only when the pod runs; until then, a pod that is still on Canal would deny its packets.
func (b *bridge) publishAddress(ctx context.Context, pod podFacts) error {
	agentEndpoint := b.endpointNamed(pod.namespace, pod.name)
	if agentEndpoint == nil || agentEndpoint.Status.Networking == nil {
		return nil
	}
	if owners := agentEndpoint.OwnerReferences; len(owners) == 0 || owners[0].UID != pod.uid {
		return nil
	}
	for _, pair := range agentEndpoint.Status.Networking.Addressing {
		address, err := netip.ParseAddr(pair.IPv4)
		if err != nil || !b.target.Contains(address) {
			continue
		}
		object, found, _ := b.pods.GetStore().GetByKey(pod.namespace + "/" + pod.name)
		if !found {
			return nil
		}
		if current := object.(*corev1.Pod); current.Status.PodIP != "" || current.Annotations[calicoAddress] != "" || current.Status.Phase != corev1.PodPending {
			return nil
		}
		patch := fmt.Sprintf(`{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, pod.uid, calicoAddress, address.String()+"/32")
		// Through the status, which the bridge may write: permission to patch pods would include their images.
		_, err = b.kube.CoreV1().Pods(pod.namespace).Patch(ctx, pod.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil
		}
		return err
	}
	return nil
}
