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
	// Delay after which the standby replica reconciles a pod as well. A change is then applied even when the leader has
	// stopped and its lease has not expired yet.
	standbyDelay = time.Second
	// Time that agents get to read an identity before an endpoint refers to it.
	identityGrace = 300 * time.Millisecond
	// Interval between two complete reconciliations, in case an event was missed.
	resync = 5 * time.Minute
	// Maximum number of pods that are reconciled in parallel.
	workers = 16

	byLabels  = "labels"
	byAddress = "address"
)

// bridge maintains for pods that are not on Cilium what Cilium maintains for its own pods: an endpoint with an identity.
type bridge struct {
	kube      kubernetes.Interface
	dynamic   dynamic.Interface
	filter    *labelFilter
	cluster   string
	clusterID int64
	// Pod CIDR of Cilium. Pods with an address in it have an endpoint from their agent.
	target netip.Prefix

	pods, namespaces, nodes, endpoints, identities cache.SharedIndexInformer
	queue                                          workqueue.TypedRateLimitingInterface[task]
	leading                                        atomic.Bool
	allocating                                     sync.Mutex
	// Identities that this replica created, until the informer returns them.
	created map[string]createdIdentity
}

type createdIdentity struct {
	id int64
	at time.Time
}

// task identifies one pod to reconcile, by UID because another pod may get the same name.
type task struct {
	namespace, name string
	uid             types.UID
}

// runIdentities runs the bridge until the context ends. Its environment:
//
//	TARGET_CIDR   pod CIDR of Cilium
//	CLUSTER_NAME, CLUSTER_ID, LABELS   as the keys cluster-name, cluster-id and labels of Cilium's configuration
//	POD_NAME, POD_NAMESPACE            holder and namespace of the lease
//	KUBECONFIG    path of a kubeconfig file, outside a cluster
//	QPS           maximum number of requests per second (100)
func runIdentities(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("cannot load the configuration of the API server: %w", err)
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
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[task](50*time.Millisecond, 10*time.Second)),
		created: map[string]createdIdentity{},
	}
	if b.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if b.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	return b, b.watch()
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

// elect runs the leader election: the leader reconciles changes without delay.
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
					slog.Info("became leader")
					b.leading.Store(true)
					b.enqueueAll()
				},
				OnStoppedLeading: func() { b.leading.Store(false) },
			},
		})
	}
}

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

// identityFor returns the identity of labels, and creates it when it does not exist. It also returns for how long agents
// have been able to read it.
func (b *bridge) identityFor(ctx context.Context, security map[string]string) (int64, time.Duration, error) {
	key := labelKey(security)
	b.allocating.Lock()
	defer b.allocating.Unlock()
	objects, err := b.identities.GetIndexer().ByIndex(byLabels, key)
	if err != nil {
		return 0, 0, err
	}
	existing := []*identity{}
	for _, object := range objects {
		existing = append(existing, object.(*identity))
	}
	created, createdHere := b.created[key]
	if id, found := oldest(existing); found {
		b.clearDeletionMark(ctx, existing, id)
		if createdHere && time.Since(created.at) > time.Minute {
			delete(b.created, key)
		}
		if createdHere && created.id == id {
			return id, time.Since(created.at), nil
		}
		return id, time.Hour, nil
	}
	if createdHere && time.Since(created.at) < 10*time.Second {
		return created.id, time.Since(created.at), nil
	}
	for {
		id := randomID(b.clusterID)
		object, err := toUnstructured(buildIdentity(id, security))
		if err != nil {
			return 0, 0, err
		}
		_, err = b.dynamic.Resource(identitiesResource).Create(ctx, object, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		if err != nil {
			return 0, 0, fmt.Errorf("cannot create an identity: %w", err)
		}
		b.created[key] = createdIdentity{id, time.Now()}
		return id, 0, nil
	}
}

// clearDeletionMark removes the operator's mark for deletion, as agents do when they start to use an identity.
func (b *bridge) clearDeletionMark(ctx context.Context, identities []*identity, id int64) {
	for _, candidate := range identities {
		if _, marked := candidate.Annotations[heartbeat]; !marked || candidate.Name != strconv.FormatInt(id, 10) {
			continue
		}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, heartbeat)
		if _, err := b.dynamic.Resource(identitiesResource).Patch(ctx, candidate.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			slog.Warn("cannot clear the deletion mark of an identity", "identity", candidate.Name, "error", err)
		}
	}
}
