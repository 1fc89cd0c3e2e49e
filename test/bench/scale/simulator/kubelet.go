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
	// How long a container takes to start and be ready, and to end once it is told to.
	startTime = 2 * time.Second
	endTime   = 1 * time.Second
	// How long a kubelet takes to contradict who says that its pod is not ready.
	doubtTime = 5 * time.Second
	// So many pods' statuses are written at a time.
	workers = 64
)

// kubelets does to the pods of all nodes what their kubelets would.
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
		k.probers.see(ctx, pod)
		wait := time.Duration(0)
		switch {
		case pod.DeletionTimestamp != nil:
			wait = min(endTime, time.Duration(gracePeriod(pod))*time.Second)
		case isNew(pod):
			wait = startTime
		case isDoubted(pod):
			wait = doubtTime
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
			k.probers.gone(pod)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	for range workers {
		go func() {
			for k.next(ctx) {
			}
		}()
	}
	<-ctx.Done()
	k.queue.ShutDown()
}

func withoutManagedFields(object any) (any, error) {
	if one, ok := object.(metav1.Object); ok {
		one.SetManagedFields(nil)
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

// isDoubted tells whether somebody said for a node that was silent for a while that its pod is not ready: the controller
// does, when leases are renewed late.
func isDoubted(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning && slices.ContainsFunc(pod.Status.Conditions, func(one corev1.PodCondition) bool {
		return one.Type == corev1.PodReady && one.Status == corev1.ConditionFalse
	})
}

func (k *kubelets) next(ctx context.Context) bool {
	key, stopped := k.queue.Get()
	if stopped {
		return false
	}
	defer k.queue.Done(key)
	if err := k.look(ctx, key); err != nil && ctx.Err() == nil {
		if !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			log.Printf("%s: %v", key, err)
		}
		k.queue.AddRateLimited(key)
		return true
	}
	k.queue.Forget(key)
	return true
}

// look does the next thing to a pod: end it, or start it.
func (k *kubelets) look(ctx context.Context, key string) error {
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
	if isDoubted(pod) {
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
	if err := k.patchStatus(ctx, pod, statusOf(pod, m, address, k.isFlipped(m))); err != nil {
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

// isFlipped tells whether the node has the label that has agents write Cilium's CNI file.
func (k *kubelets) isFlipped(m *machine) bool {
	object, found, _ := k.nodes.GetStore().GetByKey(m.name)
	return found && object.(*corev1.Node).Labels[flipLabel] == "true"
}

// statusOf is a pod's status once its containers run, or have ended.
func statusOf(pod *corev1.Pod, m *machine, address string, flipped bool) map[string]any {
	now := metav1.Now()
	ended, message := outcomeOf(pod, m, flipped)
	phase, ready := corev1.PodRunning, corev1.ConditionTrue
	state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	if ended {
		phase, ready = corev1.PodSucceeded, corev1.ConditionFalse
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message, Reason: "Completed", StartedAt: now, FinishedAt: now}}
	}
	containers := []corev1.ContainerStatus{}
	for _, container := range pod.Spec.Containers {
		started := !ended
		containers = append(containers, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, ImageID: container.Image, Ready: !ended, Started: &started, State: state,
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
