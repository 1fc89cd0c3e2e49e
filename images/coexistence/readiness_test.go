package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

func TestReadinessMeansInSyncNow(t *testing.T) {
	start := time.Unix(1_000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	refused := errors.New("forbidden")
	state := readiness{}
	for _, step := range []struct {
		what      string
		second    int
		differing []types.UID
		access    error
		ready     bool
	}{
		{"a pod has no endpoint yet", 0, []types.UID{"a"}, nil, false},
		{"all are in sync", 1, nil, nil, true},
		{"a new pod has no endpoint yet", 2, []types.UID{"b"}, nil, true},
		{"other pods are new", 6, []types.UID{"c"}, nil, true},
		{"the same pod lacks its endpoint for too long", 12, []types.UID{"c"}, nil, false},
		{"it still does", 13, []types.UID{"c"}, nil, false},
		{"in sync again", 14, nil, nil, true},
		{"the API server refuses requests", 15, nil, refused, false},
		{"a pod differs when it answers again", 16, []types.UID{"d"}, nil, false},
		{"in sync at last", 17, nil, nil, true},
	} {
		if got := state.update(step.differing, step.access, at(step.second)); got != step.ready {
			t.Errorf("%s: ready is %v", step.what, got)
		}
	}
}

func TestDifferingPods(t *testing.T) {
	t.Setenv("TARGET_CIDR", "10.245.0.0/16")
	b, err := newBridge(&rest.Config{Host: "http://192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	namespace := func(name string, deleted *metav1.Time) *corev1.Namespace {
		meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "blue"}, DeletionTimestamp: deleted}
		return &corev1.Namespace{ObjectMeta: meta}
	}
	pod := func(namespace, name, ip string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name), Labels: map[string]string{"app": name}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, HostIP: "192.168.1.1"},
		}
	}
	now := metav1.Now()
	for _, object := range []any{namespace("shop", nil), namespace("leaving", &now)} {
		must(t, b.namespaces.GetStore().Add(object))
	}
	inSync, moved, relabelled := pod("shop", "in-sync", "10.244.1.1"), pod("shop", "moved", "10.244.1.2"), pod("shop", "relabelled", "10.244.1.3")
	for _, object := range []*corev1.Pod{
		inSync, moved, relabelled, pod("shop", "missing", "10.244.1.4"),
		pod("shop", "on-cilium", "10.245.1.5"), pod("leaving", "leaving", "10.244.1.6"), pod("shop", "no-address", ""),
	} {
		must(t, b.pods.GetStore().Add(object))
	}
	for _, existing := range []*corev1.Pod{inSync, moved, relabelled} {
		facts := buildPodFacts(existing)
		security := b.filter.securityLabels(facts, map[string]string{"team": "blue"}, b.cluster)
		if existing == relabelled {
			security["k8s:app"] = "before"
		}
		if existing == moved {
			facts.address = netip.MustParseAddr("10.244.1.9")
		}
		must(t, b.endpoints.GetStore().Add(buildEndpoint(facts, 4711, security)))
	}

	got := map[types.UID]bool{}
	for _, uid := range b.differingPods() {
		got[uid] = true
	}

	if len(got) != 3 || !got["moved"] || !got["relabelled"] || !got["missing"] {
		t.Errorf("differing: %v", got)
	}
}

func TestRecentlyReady(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready")
	t.Setenv("READY_FILE", file)
	t.Setenv("READY_MAX_AGE", "20s")
	if checkReady(time.Now()) == nil {
		t.Error("ready without a file")
	}
	must(t, markReady())
	must(t, checkReady(time.Now()))
	must(t, os.Chtimes(file, time.Now(), time.Now().Add(-time.Minute)))
	if checkReady(time.Now()) == nil {
		t.Error("ready although the process has not confirmed it for a minute")
	}
	must(t, markReady())
	must(t, checkReady(time.Now()))
	must(t, markNotReady())
	must(t, markNotReady())
	if checkReady(time.Now()) == nil {
		t.Error("ready after the mark was removed")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
