package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/workqueue"
)

const (
	// A second bridge acts as well, once the first has had the time to: what must not be missed does not hang on one
	// process, and not on how long a lease lasts.
	standbyDelay = time.Second
	// Agents have to know an identity before packets carry it.
	identityGrace = 300 * time.Millisecond
	// Everything is looked at again after this long, whatever was missed.
	resync = 5 * time.Minute
	// So many pods are worked on at once.
	workers = 16

	byLabels = "labels"
)

// bridge gives pods that are not on Cilium what Cilium knows of its own: an endpoint with an identity.
type bridge struct {
	kube      kubernetes.Interface
	dynamic   dynamic.Interface
	filter    *labelFilter
	cluster   string
	clusterID int64
	// Where Cilium's pods have their addresses: those need no help.
	target netip.Prefix

	pods, namespaces, endpoints, identities cache.SharedIndexInformer
	queue                                   workqueue.TypedRateLimitingInterface[task]
	leading                                 atomic.Bool
	allocating                              sync.Mutex
	// Identities that this bridge made, until the informer knows them.
	made map[string]madeIdentity
}

type madeIdentity struct {
	id int64
	at time.Time
}

// task is one pod to look at: by its UID, because another of its name may follow.
type task struct {
	namespace, name string
	uid             types.UID
}

// runIdentities runs the bridge until the context ends. Its environment:
//
//	TARGET_CIDR   pod CIDR of Cilium
//	CLUSTER_NAME, CLUSTER_ID, LABELS   as the keys cluster-name, cluster-id and labels of Cilium's configuration
//	POD_NAME, POD_NAMESPACE            who it is, for the lease
//	KUBECONFIG    how to reach the API server, outside a cluster
//	QPS           requests a second at most (100)
func runIdentities(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("cannot find the API server: %w", err)
	}
	qps, err := strconv.Atoi(valueOr("QPS", "100"))
	if err != nil {
		return fmt.Errorf("QPS: %w", err)
	}
	config.QPS, config.Burst = float32(qps), qps*2
	b, err := newBridge(config)
	if err != nil {
		return err
	}
	go b.elect(ctx)
	return b.run(ctx)
}

func newBridge(config *rest.Config) (*bridge, error) {
	filter, err := newLabelFilter(os.Getenv("LABELS"))
	if err != nil {
		return nil, err
	}
	target, err := netip.ParsePrefix(os.Getenv("TARGET_CIDR"))
	if err != nil {
		return nil, fmt.Errorf("TARGET_CIDR: %w", err)
	}
	clusterID, err := strconv.ParseInt(valueOr("CLUSTER_ID", "0"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("CLUSTER_ID: %w", err)
	}
	b := &bridge{
		filter: filter, cluster: valueOr("CLUSTER_NAME", "default"), clusterID: clusterID, target: target,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[task](50*time.Millisecond, 10*time.Second)),
		made:  map[string]madeIdentity{},
	}
	if b.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if b.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	return b, b.watch()
}

// watch sets up what is kept of the cluster.
func (b *bridge) watch() error {
	core := informers.NewSharedInformerFactory(b.kube, resync).Core().V1()
	b.pods, b.namespaces = core.Pods().Informer(), core.Namespaces().Informer()
	cilium := dynamicinformer.NewDynamicSharedInformerFactory(b.dynamic, resync)
	b.endpoints, b.identities = cilium.ForResource(endpointsResource).Informer(), cilium.ForResource(identitiesResource).Informer()
	return errors.Join(
		b.pods.SetTransform(slim),
		b.endpoints.SetTransform(narrow[endpoint]),
		b.identities.SetTransform(narrow[identity]),
		b.identities.AddIndexers(cache.Indexers{byLabels: func(object any) ([]string, error) {
			return []string{labelKey(object.(*identity).SecurityLabels)}, nil
		}}),
		handle(b.pods, b.enqueuePod, b.enqueuePod),
		handle(b.endpoints, b.enqueueEndpoint, b.enqueueEndpoint),
		// An identity that comes changes nothing: it was made for a pod that is being looked at.
		handle(b.identities, func(any) {}, b.identityGone),
		handle(b.namespaces, b.enqueueNamespace, func(any) {}),
	)
}

func handle(informer cache.SharedIndexInformer, changed, gone func(any)) error {
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, object any) { changed(object) },
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			gone(object)
		},
	})
	return err
}

// run looks at every pod whenever something about it changes.
func (b *bridge) run(ctx context.Context) error {
	all := []cache.SharedIndexInformer{b.pods, b.namespaces, b.endpoints, b.identities}
	synced := []cache.InformerSynced{}
	for _, informer := range all {
		go informer.RunWithContext(ctx)
		synced = append(synced, informer.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil
	}
	slog.Info("in touch with the cluster", "pods", len(b.pods.GetStore().ListKeys()))
	var running sync.WaitGroup
	running.Go(func() { b.untilInStep(ctx) })
	for range workers {
		running.Go(func() {
			for b.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	b.queue.ShutDown()
	running.Wait()
	return nil
}

// untilInStep says that the bridge is ready once every pod that needs an endpoint has had one.
func (b *bridge) untilInStep(ctx context.Context) {
	started := time.Now()
	for ctx.Err() == nil {
		bridged, left := 0, 0
		for _, object := range b.pods.GetStore().List() {
			pod := factsOf(object.(*corev1.Pod))
			if !pod.address.IsValid() || b.target.Contains(pod.address) {
				continue
			}
			if b.endpointNamed(pod.namespace, endpointName(pod.uid)) == nil {
				left++
			} else {
				bridged++
			}
		}
		if left == 0 {
			slog.Info("in step", "endpoints", bridged, "took", time.Since(started).Round(time.Millisecond).String())
			if err := isReady(); err != nil {
				slog.Error(err.Error())
			}
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (b *bridge) next(ctx context.Context) bool {
	item, stopped := b.queue.Get()
	if stopped {
		return false
	}
	defer b.queue.Done(item)
	again, err := b.reconcile(ctx, item)
	switch {
	case err != nil && ctx.Err() == nil:
		// Of two bridges, one comes second.
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			slog.Warn("pod is tried again", "pod", item.namespace+"/"+item.name, "error", err)
		}
		b.queue.AddRateLimited(item)
	case again > 0:
		b.queue.AddAfter(item, again)
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

func (b *bridge) enqueuePod(object any) {
	pod := object.(*corev1.Pod)
	b.enqueue(task{pod.Namespace, pod.Name, pod.UID})
}

// enqueueEndpoint looks at the pod of an endpoint: of ours, which somebody may have removed, or of an agent's, which tells
// the address of a new pod.
func (b *bridge) enqueueEndpoint(object any) {
	one := object.(*endpoint)
	for _, owner := range one.OwnerReferences {
		if owner.Kind == "Pod" {
			b.enqueue(task{one.Namespace, owner.Name, owner.UID})
		}
	}
}

// enqueueNamespace looks at the pods of a namespace, whose labels are part of their identities.
func (b *bridge) enqueueNamespace(object any) {
	namespace := object.(*corev1.Namespace)
	pods, _ := b.pods.GetIndexer().ByIndex(cache.NamespaceIndex, namespace.Name)
	for _, pod := range pods {
		b.enqueuePod(pod)
	}
}

// identityGone looks at all pods: some may need another one.
func (b *bridge) identityGone(object any) {
	b.allocating.Lock()
	delete(b.made, labelKey(object.(*identity).SecurityLabels))
	b.allocating.Unlock()
	b.enqueueAll()
}

func (b *bridge) enqueueAll() {
	for _, pod := range b.pods.GetStore().List() {
		b.enqueuePod(pod)
	}
}

// elect decides which of the bridges acts at once.
func (b *bridge) elect(ctx context.Context) {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Name: "identity-bridge", Namespace: valueOr("POD_NAMESPACE", project)},
		Client:     b.kube.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: valueOr("POD_NAME", "outside")},
	}
	for ctx.Err() == nil {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) {
					slog.Info("acts first")
					b.leading.Store(true)
					b.enqueueAll()
				},
				OnStoppedLeading: func() { b.leading.Store(false) },
			},
		})
	}
}

// reconcile makes what Cilium knows of one pod true. It returns after how long to look again, if it has to.
func (b *bridge) reconcile(ctx context.Context, item task) (time.Duration, error) {
	pod := b.podOf(item)
	existing := b.endpointNamed(item.namespace, endpointName(item.uid))
	if pod != nil && !pod.address.IsValid() {
		return 0, errors.Join(b.tellAddress(ctx, *pod), b.remove(ctx, existing))
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
	wanted := endpointOf(*pod, id, security)
	switch {
	case existing == nil:
		object, err := toUnstructured(wanted)
		if err != nil {
			return 0, err
		}
		_, err = b.dynamic.Resource(endpointsResource).Namespace(pod.namespace).Create(ctx, object, metav1.CreateOptions{})
		return 0, err
	case existing.sameStatus(wanted):
		return 0, nil
	case age < identityGrace:
		// The pod goes on under what it was until agents know what it is now.
		return identityGrace - age, nil
	}
	wanted.ResourceVersion = existing.ResourceVersion
	object, err := toUnstructured(wanted)
	if err != nil {
		return 0, err
	}
	_, err = b.dynamic.Resource(endpointsResource).Namespace(pod.namespace).Update(ctx, object, metav1.UpdateOptions{})
	return 0, err
}

// podOf is the pod as it is now; nil when it is gone, even if another has its name.
func (b *bridge) podOf(item task) *podFacts {
	object, found, err := b.pods.GetStore().GetByKey(item.namespace + "/" + item.name)
	if err != nil || !found {
		return nil
	}
	pod := object.(*corev1.Pod)
	if pod.UID != item.uid {
		return nil
	}
	facts := factsOf(pod)
	return &facts
}

func (b *bridge) endpointNamed(namespace, name string) *endpoint {
	object, found, err := b.endpoints.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	return object.(*endpoint)
}

// remove removes an endpoint of ours.
func (b *bridge) remove(ctx context.Context, one *endpoint) error {
	if one == nil || one.Labels[managedBy] != project {
		return nil
	}
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &one.UID}}
	err := b.dynamic.Resource(endpointsResource).Namespace(one.Namespace).Delete(ctx, one.Name, options)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// tellAddress writes a new Cilium pod's address where Calico's agents look for it, because the kubelet tells it only once
// the pod runs: until then, a pod that is still on Canal would not let it in.
func (b *bridge) tellAddress(ctx context.Context, pod podFacts) error {
	one := b.endpointNamed(pod.namespace, pod.name)
	if one == nil || one.Status.Networking == nil || len(one.OwnerReferences) == 0 || one.OwnerReferences[0].UID != pod.uid {
		return nil
	}
	for _, pair := range one.Status.Networking.Addressing {
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
		_, err = b.kube.CoreV1().Pods(pod.namespace).Patch(ctx, pod.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil
		}
		return err
	}
	return nil
}

// identityFor finds the identity of labels, or makes it. It also tells for how long agents may have known it.
func (b *bridge) identityFor(ctx context.Context, security map[string]string) (int64, time.Duration, error) {
	key := labelKey(security)
	b.allocating.Lock()
	defer b.allocating.Unlock()
	objects, err := b.identities.GetIndexer().ByIndex(byLabels, key)
	if err != nil {
		return 0, 0, err
	}
	known := []*identity{}
	for _, object := range objects {
		known = append(known, object.(*identity))
	}
	made, ours := b.made[key]
	if id, found := oldest(known); found {
		b.unmark(ctx, known, id)
		if ours && time.Since(made.at) > time.Minute {
			delete(b.made, key)
		}
		if ours && made.id == id {
			return id, time.Since(made.at), nil
		}
		return id, time.Hour, nil
	}
	if ours && time.Since(made.at) < 10*time.Second {
		return made.id, time.Since(made.at), nil
	}
	for {
		id := randomID(b.clusterID)
		object, err := toUnstructured(identityOf(id, security))
		if err != nil {
			return 0, 0, err
		}
		_, err = b.dynamic.Resource(identitiesResource).Create(ctx, object, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		if err != nil {
			return 0, 0, fmt.Errorf("cannot make an identity: %w", err)
		}
		b.made[key] = madeIdentity{id, time.Now()}
		return id, 0, nil
	}
}

// unmark takes back the operator's mark for deletion, as agents do when they take an identity up.
func (b *bridge) unmark(ctx context.Context, known []*identity, id int64) {
	for _, one := range known {
		if _, marked := one.Annotations[heartbeat]; !marked || one.Name != strconv.FormatInt(id, 10) {
			continue
		}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, heartbeat)
		if _, err := b.dynamic.Resource(identitiesResource).Patch(ctx, one.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			slog.Warn("identity stays marked for deletion", "identity", one.Name, "error", err)
		}
	}
}
