package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// newTestBridge returns a bridge without informers that run, of a cluster with one node for pods of 10.244.1.0/24.
func newTestBridge(t *testing.T, host string) *bridge {
	t.Helper()
	t.Setenv("TARGET_CIDR", "10.245.0.0/16")
	b, err := newBridge(&rest.Config{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	must(t, b.nodes.GetStore().Add(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: corev1.NodeSpec{PodCIDR: "10.244.1.0/24", PodCIDRs: []string{"10.244.1.0/24"}},
	}))
	must(t, b.namespaces.GetStore().Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}))
	return b
}

// pendingPod returns a pod that the kubelet has not started, with Calico's annotation.
func pendingPod(name, annotation string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(name), Annotations: map[string]string{calicoAddress: annotation},
		},
		Spec:   corev1.PodSpec{NodeName: "n1"},
		Status: corev1.PodStatus{Phase: corev1.PodPending, HostIP: "192.168.1.1"},
	}
}

func runningPod(name, ip string) *corev1.Pod {
	pod := pendingPod(name, ip+"/32")
	pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, ip
	return pod
}

// Users who may create pods may write the annotation, on a pod that never starts: none of these addresses is its own.
func TestClaimedAddresses(t *testing.T) {
	finished := runningPod("finished", "10.244.1.20")
	finished.Status.Phase = corev1.PodSucceeded
	removed := runningPod("removed", "10.244.1.21")
	removed.Annotations[calicoAddress] = ""
	elsewhere := pendingPod("elsewhere", "10.244.1.5/32")
	elsewhere.Spec.NodeName = "n2"
	host := pendingPod("host", "10.244.1.5/32")
	host.Spec.HostNetwork = true
	for _, c := range []struct {
		name string
		pod  *corev1.Pod
		want string
	}{
		{"of a new pod", pendingPod("new", "10.244.1.5/32"), "10.244.1.5"},
		{"of a pod that has finished", pendingPod("new", "10.244.1.20/32"), "10.244.1.20"},
		{"of a pod without a network", pendingPod("new", "10.244.1.21/32"), "10.244.1.21"},
		{"that another node's pods have", pendingPod("thief", "10.244.7.9/32"), ""},
		{"outside the cluster", pendingPod("thief", "8.8.8.8/32"), ""},
		{"of a service", pendingPod("thief", "10.96.0.1/32"), ""},
		{"of the loopback interface", pendingPod("thief", "127.0.0.1/32"), ""},
		{"of a node", pendingPod("thief", "192.168.1.1/32"), ""},
		{"of Cilium", pendingPod("thief", "10.245.1.5/32"), ""},
		{"of a running pod", pendingPod("thief", "10.244.1.10/32"), ""},
		{"of a running pod, in another form", pendingPod("thief", "::ffff:10.244.1.10"), ""},
		{"that another pod claims", pendingPod("thief", "10.244.1.11/32"), ""},
		{"on an unknown node", elsewhere, ""},
		{"on the host network", host, ""},
		{"that is none", pendingPod("thief", "x"), ""},
		{"that the kubelet reports", runningPod("running", "10.244.9.9"), "10.244.9.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTestBridge(t, "http://192.0.2.1")
			for _, pod := range []*corev1.Pod{
				runningPod("victim", "10.244.1.10"), pendingPod("claimant", "10.244.1.11/32"), finished, removed, c.pod,
			} {
				must(t, b.pods.GetIndexer().Add(pod))
			}

			facts := b.currentPod(task{"shop", c.pod.Name, c.pod.UID})

			got := ""
			if facts.address.IsValid() {
				got = facts.address.String()
			}
			if got != c.want {
				t.Errorf("address %q, not %q", got, c.want)
			}
		})
	}
}

// The endpoint of a claim ends when the kubelet reports the address for another pod.
func TestThePodsThatClaimAnAddressAreReconciledWithIt(t *testing.T) {
	b := newTestBridge(t, "http://192.0.2.1")
	b.leading.Store(true)
	owner := runningPod("owner", "10.244.1.5")
	must(t, b.pods.GetIndexer().Add(pendingPod("thief", "10.244.1.5/32")))
	must(t, b.pods.GetIndexer().Add(owner))

	b.enqueuePod(owner)

	queued := map[string]bool{}
	for b.queue.Len() > 0 {
		item, _ := b.queue.Get()
		queued[item.name] = true
		b.queue.Done(item)
	}
	if len(queued) != 2 || !queued["owner"] || !queued["thief"] {
		t.Errorf("queued: %v", queued)
	}
}

// The bridge has no permission to patch pods, which would include their images.
func TestThePublishedAddressIsWrittenThroughTheStatus(t *testing.T) {
	requests := []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests = append(requests, r.Method+" "+r.URL.Path+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Pod","apiVersion":"v1"}`)
	}))
	defer server.Close()
	b := newTestBridge(t, server.URL)
	pod := pendingPod("fresh", "")
	delete(pod.Annotations, calicoAddress)
	must(t, b.pods.GetIndexer().Add(pod))
	agentEndpoint := buildEndpoint(podFacts{namespace: "shop", name: "fresh", uid: "fresh", address: netip.MustParseAddr("10.245.1.9")}, 4711, nil)
	agentEndpoint.Name = "fresh"
	must(t, b.endpoints.GetStore().Add(agentEndpoint))

	_, err := b.reconcile(t.Context(), task{"shop", "fresh", "fresh"})

	must(t, err)
	if len(requests) != 1 || !strings.HasPrefix(requests[0], "PATCH /api/v1/namespaces/shop/pods/fresh/status {") ||
		!strings.Contains(requests[0], `"cni.projectcalico.org/podIP":"10.245.1.9/32"`) {
		t.Errorf("requests: %q", requests)
	}
}

func TestTrimmedNodesKeepTheirPodCIDRs(t *testing.T) {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"a": "b"}},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{"fd00::/64", "10.244.1.0/24"}},
		Status:     corev1.NodeStatus{Images: []corev1.ContainerImage{{Names: []string{"x"}}}},
	}
	trimmed, err := trimNode(node)
	must(t, err)
	kept := trimmed.(*corev1.Node)
	if kept.Name != "n1" || len(kept.Status.Images) > 0 || !hasPodAddress(kept, netip.MustParseAddr("10.244.1.7")) {
		t.Errorf("%+v", kept)
	}
}

func TestTrimmedPodsKeepTheirNode(t *testing.T) {
	trimmed, err := trimPod(pendingPod("new", "10.244.1.5/32"))
	must(t, err)
	if facts := buildPodFacts(trimmed.(*corev1.Pod)); facts.node != "n1" || facts.nodeIP != "192.168.1.1" || !facts.claimed {
		t.Errorf("%+v", facts)
	}
}
