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

// probers writes the ledgers of all probers, as often as they would (images/prober/probe.go), with as many paths.
type probers struct {
	*simulator
	mutex   sync.Mutex
	running map[types.UID]context.CancelFunc
	order   []string
}

// How many other nodes each samples, and how often pages are written; images/prober/probe.go.
const (
	meshDegree  = 6
	writeEvery  = 3 * time.Second
	writeShare  = 60 * time.Millisecond
	writeAtMost = 100 * time.Second
	// Whoever is asked for a page waits until what was sent before has its answer; images/prober/kube.go.
	sampleTimeout   = 900 * time.Millisecond
	askedAnnotation = "cni-live-migration/flush-requested-at"
)

func newProbers(s *simulator) *probers {
	p := &probers{simulator: s, running: map[types.UID]context.CancelFunc{}, order: make([]string, len(s.machines))}
	for name, m := range s.machines {
		p.order[m.index] = name
	}
	return p
}

func roleOf(pod *corev1.Pod) string {
	return map[string]string{"prober": "pod", "prober-host": "host"}[pod.Labels["app"]]
}

// see starts a prober whose pod runs.
func (p *probers) see(ctx context.Context, pod *corev1.Pod) {
	role := roleOf(pod)
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

func (p *probers) gone(pod *corev1.Pod) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if cancel := p.running[pod.UID]; cancel != nil {
		cancel()
		delete(p.running, pod.UID)
	}
}

func (p *probers) write(ctx context.Context, m *machine, role, namespace string) {
	began := time.Now()
	every := min(max(writeEvery, time.Duration(len(p.machines))*writeShare), writeAtMost)
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(every))))
	defer timer.Stop()
	asked := make(chan struct{}, 1)
	go p.watchAsked(ctx, "ledger-"+m.name, namespace, asked)
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			timer.Reset(sampleTimeout)
			continue
		case <-timer.C:
		}
		if err := p.put(ctx, m, role, namespace, int(time.Since(began).Seconds())); err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			log.Printf("ledger of %s: %v", m.name, err)
		}
		timer.Reset(every)
	}
}

// watchAsked tells each time that the page of that name is asked for.
func (p *probers) watchAsked(ctx context.Context, page, namespace string, asked chan<- struct{}) {
	maps := p.metadata.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).Namespace(namespace)
	last := ""
	for ctx.Err() == nil {
		seconds := int64(300)
		events, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + page, ResourceVersion: "0", TimeoutSeconds: &seconds})
		if err == nil {
			for event := range events.ResultChan() {
				object, ok := event.Object.(*metav1.PartialObjectMetadata)
				if !ok || object.Annotations[askedAnnotation] == last {
					continue
				}
				last = object.Annotations[askedAnnotation]
				select {
				case asked <- struct{}{}:
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
	text, _ := json.Marshal(p.page(m, role, seconds))
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

// page is what a prober writes down that lost nothing.
func (p *probers) page(m *machine, role string, seconds int) map[string]any {
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
	seen := map[string]bool{}
	for _, one := range records {
		key := one.Kind + one.To
		if !seen[key] {
			seen[key] = true
			latencies = append(latencies, latency{one.Kind, one.From, one.To, []int{0, 0, seconds, seconds * 5, seconds * 2, 1}})
		}
	}
	return map[string]any{"atMs": time.Now().UnixMilli(), "records": records, "latency": latencies}
}
