package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/workqueue"
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
