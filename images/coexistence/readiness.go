package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// Interval between two comparisons of all pods with their endpoints: until they are in sync, and afterwards.
	syncInterval    = 200 * time.Millisecond
	compareInterval = 2 * time.Second
	// Time that the endpoint of a new or changed pod may take before the bridge is no longer in sync.
	lagTolerance = 5 * time.Second
	// Interval between two requests that show whether the API server still answers them.
	accessInterval = 5 * time.Second
	accessTimeout  = 5 * time.Second
)

// readiness decides whether the bridge is in sync now. It never was in sync at the start.
type readiness struct {
	ready bool
	// Since when the endpoint of each pod has differed from the pod.
	since map[types.UID]time.Time
}

// update takes the pods whose endpoints differ at the moment, and the failure of the last request to the API server. Once in
// sync, the bridge stays so while each pod has its endpoint within the tolerance, because pods start all the time.
func (r *readiness) update(differing []types.UID, access error, now time.Time) bool {
	since := make(map[types.UID]time.Time, len(differing))
	lagging := false
	for _, pod := range differing {
		first, known := r.since[pod]
		if !known {
			first = now
		}
		since[pod] = first
		lagging = lagging || !r.ready || now.Sub(first) > lagTolerance
	}
	r.since = since
	r.ready = !lagging && access == nil
	return r.ready
}

// reportReadiness marks the bridge as ready as long as every pod that needs an endpoint has the right one, and the API server
// answers its requests: a watch that is refused would only leave the caches as they were.
func (b *bridge) reportReadiness(ctx context.Context) {
	state, was := readiness{}, false
	var access error
	var asked time.Time
	for ctx.Err() == nil {
		if time.Since(asked) >= accessInterval {
			asked, access = time.Now(), b.checkAccess(ctx)
		}
		differing := b.differingPods()
		ready := state.update(differing, access, time.Now())
		if ready != was {
			slog.Info("readiness changed", "ready", ready, "differing", len(differing), "error", access)
		}
		was = ready
		mark, interval := markNotReady, syncInterval
		if ready {
			mark, interval = markReady, compareInterval
		}
		if err := mark(); err != nil {
			slog.Error(err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
	}
}

// differingPods returns the pods that need an endpoint and have none, or one with another address or other labels.
func (b *bridge) differingPods() []types.UID {
	differing := []types.UID{}
	for _, object := range b.pods.GetStore().List() {
		pod := b.podFacts(object.(*corev1.Pod))
		if !pod.address.IsValid() || b.target.Contains(pod.address) {
			continue
		}
		namespace, found, err := b.namespaces.GetStore().GetByKey(pod.namespace)
		if err != nil || !found {
			differing = append(differing, pod.uid)
			continue
		}
		current := namespace.(*corev1.Namespace)
		// The API server creates nothing in a namespace that is being deleted.
		if current.DeletionTimestamp == nil && !b.endpointMatches(pod, current.Labels) {
			differing = append(differing, pod.uid)
		}
	}
	return differing
}

func (b *bridge) endpointMatches(pod podFacts, namespaceLabels map[string]string) bool {
	existing := b.endpointNamed(pod.namespace, endpointName(pod.uid))
	if existing == nil || existing.Status.Identity == nil || existing.Status.Networking == nil {
		return false
	}
	labels := labelList(b.filter.securityLabels(pod, namespaceLabels, b.cluster))
	return slices.Equal(existing.Status.Identity.Labels, labels) && existing.hasAddress(pod.address)
}

// hasAddress returns true when the endpoint has the address and no other.
func (e *endpoint) hasAddress(address netip.Addr) bool {
	addressing := e.Status.Networking.Addressing
	return len(addressing) == 1 && (addressing[0].IPv4 == address.String() || addressing[0].IPv6 == address.String())
}

// checkAccess returns an error when the API server refuses or does not answer a read of one of the watched kinds.
func (b *bridge) checkAccess(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	failures := []error{}
	for _, resource := range []schema.GroupVersionResource{
		corev1.SchemeGroupVersion.WithResource("pods"), corev1.SchemeGroupVersion.WithResource("namespaces"),
		corev1.SchemeGroupVersion.WithResource("nodes"),
		endpointsResource, identitiesResource,
	} {
		if _, err := b.dynamic.Resource(resource).List(limited, metav1.ListOptions{Limit: 1}); err != nil {
			failures = append(failures, fmt.Errorf("cannot read %s: %w", resource.Resource, err))
		}
	}
	return errors.Join(failures...)
}
