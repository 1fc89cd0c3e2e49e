package main

import (
	"context"
	"encoding/json"
	"log"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// Time until a started container is ready, and until a container has stopped after SIGTERM.
	startTime = 2 * time.Second
	stopTime  = 1 * time.Second
	// Time until a kubelet corrects the condition of a pod that was reported as not ready.
	correctionTime = 5 * time.Second
	// Maximum number of pod statuses that are written in parallel.
	workers = 64
)

// kubelets simulates the kubelets of all nodes.
type kubelets struct {
	*simulator
	pods    cache.SharedIndexInformer
	nodes   cache.SharedIndexInformer
	queue   workqueue.TypedRateLimitingInterface[string]
	probers *probers
}

func (s *simulator) run(ctx context.Context) {
	factory := informers.NewSharedInformerFactory(s.client, 0)
	k := &kubelets{
		simulator: s,
		pods:      factory.Core().V1().Pods().Informer(),
		nodes:     factory.Core().V1().Nodes().Informer(),
		queue:     workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
		probers:   newProbers(s),
	}
	for _, informer := range []cache.SharedIndexInformer{k.pods, k.nodes} {
		if err := informer.SetTransform(withoutManagedFields); err != nil {
			log.Fatal(err)
		}
	}
	changed := func(object any) {
		pod := object.(*corev1.Pod)
		if pod.Spec.NodeName == "" {
			return
		}
		k.probers.start(ctx, pod)
		wait := time.Duration(0)
		switch {
		case pod.DeletionTimestamp != nil:
			wait = min(stopTime, time.Duration(gracePeriod(pod))*time.Second)
		case isNew(pod):
			wait = startTime
		case isReportedNotReady(pod):
			wait = correctionTime
		default:
			return
		}
		k.queue.AddAfter(pod.Namespace+"/"+pod.Name, wait)
	}
	_, err := k.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, object any) { changed(object) },
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			pod := object.(*corev1.Pod)
			if m := k.machines[pod.Spec.NodeName]; m != nil && !pod.Spec.HostNetwork {
				m.unwire(pod.Status.PodIP)
			}
			k.probers.stop(pod)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	for range workers {
		go func() {
			for k.processNext(ctx) {
			}
		}()
	}
	<-ctx.Done()
	k.queue.ShutDown()
}

func withoutManagedFields(object any) (any, error) {
	if withMetadata, ok := object.(metav1.Object); ok {
		withMetadata.SetManagedFields(nil)
	}
	return object, nil
}

func gracePeriod(pod *corev1.Pod) int64 {
	if pod.DeletionGracePeriodSeconds == nil {
		return 0
	}
	return *pod.DeletionGracePeriodSeconds
}

func isNew(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodPending && pod.Status.PodIP == ""
}

// isReportedNotReady returns true for a running pod that is marked as not ready. The node controller marks pods of nodes whose
// leases were renewed late.
func isReportedNotReady(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning && slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionFalse
	})
}

func (k *kubelets) processNext(ctx context.Context) bool {
	key, stopped := k.queue.Get()
	if stopped {
		return false
	}
	defer k.queue.Done(key)
	if err := k.reconcile(ctx, key); err != nil && ctx.Err() == nil {
		if !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			log.Printf("%s: %v", key, err)
		}
		k.queue.AddRateLimited(key)
		return true
	}
	k.queue.Forget(key)
	return true
}

// reconcile stops a pod that is being deleted, corrects its condition, or starts it.
func (k *kubelets) reconcile(ctx context.Context, key string) error {
	object, found, err := k.pods.GetStore().GetByKey(key)
	if err != nil || !found {
		return err
	}
	pod := object.(*corev1.Pod)
	m := k.machines[pod.Spec.NodeName]
	if m == nil {
		return nil
	}
	if pod.DeletionTimestamp != nil {
		now := int64(0)
		return k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
		})
	}
	if isReportedNotReady(pod) {
		return k.patchStatus(ctx, pod, map[string]any{"conditions": []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()},
		}})
	}
	if !isNew(pod) {
		return nil
	}
	address := m.ip.String()
	if !pod.Spec.HostNetwork {
		if address, err = m.wire(); err != nil {
			return err
		}
	}
	if err := k.patchStatus(ctx, pod, buildStatus(pod, m, address, k.isFlipped(m))); err != nil {
		m.unwire(address)
		return err
	}
	return nil
}

func (k *kubelets) patchStatus(ctx context.Context, pod *corev1.Pod, status map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return err
	}
	_, err = k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// isFlipped returns true when the node has the label with which agents write Cilium's CNI file.
func (k *kubelets) isFlipped(m *machine) bool {
	object, found, _ := k.nodes.GetStore().GetByKey(m.name)
	return found && object.(*corev1.Node).Labels[flipLabel] == "true"
}

// buildStatus builds the status of a pod whose containers have started, or have finished.
func buildStatus(pod *corev1.Pod, m *machine, address string, flipped bool) map[string]any {
	now := metav1.Now()
	finished, message := simulateEffects(pod, m, flipped)
	phase, ready := corev1.PodRunning, corev1.ConditionTrue
	state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	if finished {
		phase, ready = corev1.PodSucceeded, corev1.ConditionFalse
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message, Reason: "Completed", StartedAt: now, FinishedAt: now}}
	}
	containers := []corev1.ContainerStatus{}
	for _, container := range pod.Spec.Containers {
		started := !finished
		containers = append(containers, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, ImageID: container.Image, Ready: !finished, Started: &started, State: state,
		})
	}
	conditions := []corev1.PodCondition{}
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		status := ready
		if kind == corev1.PodInitialized {
			status = corev1.ConditionTrue
		}
		conditions = append(conditions, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: now})
	}
	return map[string]any{
		"phase": phase, "podIP": address, "podIPs": []corev1.PodIP{{IP: address}},
		"hostIP": m.ip.String(), "hostIPs": []corev1.HostIP{{IP: m.ip.String()}},
		"startTime": now, "conditions": conditions, "containerStatuses": containers,
	}
}
