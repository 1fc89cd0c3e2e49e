package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const (
	// Delay after which the standby replica reconciles a pod as well. A change is then applied even when the leader has
	// stopped and its lease has not expired yet.
	standbyDelay = time.Second
	// Interval between two complete reconciliations, in case an event was missed.
	resync = 5 * time.Minute
	// Maximum number of pods that are reconciled in parallel.
	workers = 16

	byLabels  = "labels"
	byAddress = "address"
)

// task identifies one pod to reconcile, by UID because another pod may get the same name.
type task struct {
	namespace, name string
	uid             types.UID
}

// watch creates the informers and their event handlers.
func (b *bridge) watch() error {
	core := informers.NewSharedInformerFactory(b.kube, resync).Core().V1()
	b.pods, b.namespaces, b.nodes = core.Pods().Informer(), core.Namespaces().Informer(), core.Nodes().Informer()
	cilium := dynamicinformer.NewDynamicSharedInformerFactory(b.dynamic, resync)
	b.endpoints, b.identities = cilium.ForResource(endpointsResource).Informer(), cilium.ForResource(identitiesResource).Informer()
	return errors.Join(
		b.pods.SetTransform(trimPod),
		b.pods.AddIndexers(cache.Indexers{byAddress: indexByAddress}),
		b.nodes.SetTransform(trimNode),
		b.endpoints.SetTransform(decodeFields[endpoint]),
		b.identities.SetTransform(decodeFields[identity]),
		b.identities.AddIndexers(cache.Indexers{byLabels: func(object any) ([]string, error) {
			return []string{labelKey(object.(*identity).SecurityLabels)}, nil
		}}),
		handle(b.pods, b.enqueuePod, b.enqueuePod),
		handle(b.endpoints, b.enqueueEndpoint, b.enqueueEndpoint),
		// A new identity needs no reconciliation: it was created while a pod was reconciled.
		handle(b.identities, func(any) {}, b.identityRemoved),
		handle(b.namespaces, b.enqueueNamespace, func(any) {}),
	)
}

func handle(informer cache.SharedIndexInformer, changed, removed func(any)) error {
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, object any) { changed(object) },
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			removed(object)
		},
	})
	return err
}

// run reconciles every pod when the pod or an object that it depends on changes, until the context ends.
func (b *bridge) run(ctx context.Context) error {
	all := []cache.SharedIndexInformer{b.pods, b.namespaces, b.nodes, b.endpoints, b.identities}
	synced := []cache.InformerSynced{}
	for _, informer := range all {
		go informer.RunWithContext(ctx)
		synced = append(synced, informer.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil
	}
	slog.Info("caches synced", "pods", len(b.pods.GetStore().ListKeys()))
	var running sync.WaitGroup
	running.Go(func() { b.reportReadiness(ctx) })
	for range workers {
		running.Go(func() {
			for b.processNext(ctx) {
			}
		})
	}
	<-ctx.Done()
	b.queue.ShutDown()
	running.Wait()
	return nil
}

// processNext reconciles the next pod of the queue. It returns false when the queue was shut down.
func (b *bridge) processNext(ctx context.Context) bool {
	item, stopped := b.queue.Get()
	if stopped {
		return false
	}
	defer b.queue.Done(item)
	retryAfter, err := b.reconcile(ctx, item)
	switch {
	case err != nil && ctx.Err() == nil:
		// The other replica may have written the object first.
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			slog.Warn("retrying pod", "pod", item.namespace+"/"+item.name, "error", err)
		}
		b.queue.AddRateLimited(item)
	case retryAfter > 0:
		b.queue.AddAfter(item, retryAfter)
	default:
		b.queue.Forget(item)
	}
	return true
}

func (b *bridge) enqueue(item task) {
	if b.leading.Load() {
		b.queue.Add(item)
	} else {
		b.queue.AddAfter(item, standbyDelay)
	}
}

// enqueuePod enqueues a pod, and the pods that claim its address.
func (b *bridge) enqueuePod(object any) {
	pod := object.(*corev1.Pod)
	b.enqueue(task{pod.Namespace, pod.Name, pod.UID})
	address, _ := podAddress(pod)
	for _, other := range b.othersWith(address, pod.UID) {
		b.enqueue(task{other.Namespace, other.Name, other.UID})
	}
}

// enqueueEndpoint enqueues the pod of an endpoint: one of the bridge, which may have been removed by others, or one of an
// agent, which contains the address of a new pod.
func (b *bridge) enqueueEndpoint(object any) {
	changed := object.(*endpoint)
	for _, owner := range changed.OwnerReferences {
		if owner.Kind == "Pod" {
			b.enqueue(task{changed.Namespace, owner.Name, owner.UID})
		}
	}
}

// enqueueNamespace enqueues the pods of a namespace, because its labels are part of their identities.
func (b *bridge) enqueueNamespace(object any) {
	namespace := object.(*corev1.Namespace)
	pods, _ := b.pods.GetIndexer().ByIndex(cache.NamespaceIndex, namespace.Name)
	for _, pod := range pods {
		b.enqueuePod(pod)
	}
}

// identityRemoved enqueues all pods: those of the removed identity need another one.
func (b *bridge) identityRemoved(object any) {
	b.allocating.Lock()
	delete(b.created, labelKey(object.(*identity).SecurityLabels))
	b.allocating.Unlock()
	b.enqueueAll()
}

func (b *bridge) enqueueAll() {
	for _, pod := range b.pods.GetStore().List() {
		b.enqueuePod(pod)
	}
}
