package main

import (
	"context"
	"encoding/json"
	"log"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// probers writes the ledgers of all probers, with the same interval (images/prober/probe.go) and number of paths.
type probers struct {
	*simulator
	mutex   sync.Mutex
	running map[types.UID]context.CancelFunc
	order   []string
}

// Number of other nodes that each node samples, and the interval of writes; images/prober/probe.go.
const (
	meshDegree           = 6
	minWriteInterval     = 3 * time.Second
	writeIntervalPerNode = 60 * time.Millisecond
	maxWriteInterval     = 100 * time.Second
	// A prober delays a requested write until every earlier sample is answered or lost; images/prober/kube.go.
	sampleTimeout            = 900 * time.Millisecond
	flushRequestedAnnotation = "cni-live-migration/flush-requested-at"
)

func newProbers(s *simulator) *probers {
	p := &probers{simulator: s, running: map[types.UID]context.CancelFunc{}, order: make([]string, len(s.machines))}
	for name, m := range s.machines {
		p.order[m.index] = name
	}
	return p
}

func proberRole(pod *corev1.Pod) string {
	return map[string]string{"prober": "pod", "prober-host": "host"}[pod.Labels["app"]]
}

// start starts the prober of a running pod.
func (p *probers) start(ctx context.Context, pod *corev1.Pod) {
	role := proberRole(pod)
	m := p.machines[pod.Spec.NodeName]
	if role == "" || m == nil || pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.running[pod.UID] != nil {
		return
	}
	own, cancel := context.WithCancel(ctx)
	p.running[pod.UID] = cancel
	go p.write(own, m, role, pod.Namespace)
}

func (p *probers) stop(pod *corev1.Pod) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if cancel := p.running[pod.UID]; cancel != nil {
		cancel()
		delete(p.running, pod.UID)
	}
}

func (p *probers) write(ctx context.Context, m *machine, role, namespace string) {
	started := time.Now()
	interval := min(max(minWriteInterval, time.Duration(len(p.machines))*writeIntervalPerNode), maxWriteInterval)
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(interval))))
	defer timer.Stop()
	flushRequested := make(chan struct{}, 1)
	go p.watchFlushRequests(ctx, "ledger-"+m.name, namespace, flushRequested)
	for {
		select {
		case <-ctx.Done():
			return
		case <-flushRequested:
			timer.Reset(sampleTimeout)
			continue
		case <-timer.C:
		}
		if err := p.put(ctx, m, role, namespace, int(time.Since(started).Seconds())); err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			log.Printf("ledger of %s: %v", m.name, err)
		}
		timer.Reset(interval)
	}
}

// watchFlushRequests sends to the channel when a flush of the ledger of that name is requested.
func (p *probers) watchFlushRequests(ctx context.Context, name, namespace string, flushRequested chan<- struct{}) {
	maps := p.metadata.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).Namespace(namespace)
	last := ""
	for ctx.Err() == nil {
		seconds := int64(300)
		events, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: "0", TimeoutSeconds: &seconds})
		if err == nil {
			for event := range events.ResultChan() {
				object, ok := event.Object.(*metav1.PartialObjectMetadata)
				if !ok || object.Annotations[flushRequestedAnnotation] == last {
					continue
				}
				last = object.Annotations[flushRequestedAnnotation]
				select {
				case flushRequested <- struct{}{}:
				default:
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (p *probers) put(ctx context.Context, m *machine, role, namespace string, seconds int) error {
	text, _ := json.Marshal(p.nodeLedger(m, role, seconds))
	data := map[string]string{role: string(text)}
	patch, _ := json.Marshal(map[string]any{"data": data})
	maps := p.client.CoreV1().ConfigMaps(namespace)
	name := "ledger-" + m.name
	_, err := maps.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	_, err = maps.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "ledger", "app.kubernetes.io/managed-by": "cni-live-migration"}},
		Data:       data,
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

type record struct {
	Kind string `json:"kind"`
	Peer string `json:"peer,omitempty"`
	From string `json:"from"`
	To   string `json:"to,omitempty"`
	Sent int    `json:"sent"`
}

type latency struct {
	Kind   string `json:"kind"`
	From   string `json:"from"`
	To     string `json:"to,omitempty"`
	Counts []int  `json:"counts"`
}

// nodeLedger returns the ledger of a prober without losses.
func (p *probers) nodeLedger(m *machine, role string, seconds int) map[string]any {
	records, latencies := []record{}, []latency{}
	network := func(of *machine) string {
		of.mutex.Lock()
		defer of.mutex.Unlock()
		return of.network
	}
	from := "host"
	if role == "pod" {
		from = network(m)
	}
	add := func(kind, peer, to string) {
		records = append(records, record{kind, peer, from, to, seconds * 10})
	}
	for offset := -meshDegree / 2; offset <= meshDegree/2; offset++ {
		peer := p.machines[p.order[(m.index+offset+len(p.order))%len(p.order)]]
		if role == "host" {
			add("host-host", peer.name, "host")
			add("host-pod", peer.name, network(peer))
			continue
		}
		for _, kind := range []string{"small", "large", "allowed", "denied", "udp", "stream"} {
			add("pod-pod/"+kind, peer.name, network(peer))
		}
		add("pod-hostport", peer.name, "")
		add("pod-nodeport", peer.name, "")
	}
	if role == "pod" {
		for _, kind := range []string{"pod-service", "pod-dns/udp", "pod-dns/tcp", "pod-api"} {
			add(kind, "", "")
		}
	}
	added := map[string]bool{}
	for _, path := range records {
		key := path.Kind + path.To
		if !added[key] {
			added[key] = true
			latencies = append(latencies, latency{path.Kind, path.From, path.To, []int{0, 0, seconds, seconds * 5, seconds * 2, 1}})
		}
	}
	return map[string]any{"atMs": time.Now().UnixMilli(), "records": records, "latency": latencies}
}
