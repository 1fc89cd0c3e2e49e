package main

import (
	"maps"
	"testing"
)

func TestSecurityLabels(t *testing.T) {
	pod := podFacts{namespace: "shop", serviceAccount: "web", labels: map[string]string{
		"app": "web", "app.kubernetes.io/name": "web", "pod-template-hash": "1", "controller-revision-hash": "2",
		"statefulset.kubernetes.io/pod-name": "web-0", "apps.kubernetes.io/pod-index": "0",
		"topology.kubernetes.io/zone": "a", "kubernetes.io/arch": "x", "io.cilium.k8s.policy.cluster": "forged",
		"batch.kubernetes.io/controller-uid": "3", "team": "blue",
	}}
	namespace := map[string]string{"kubernetes.io/metadata.name": "shop", "tier": "front"}
	always := map[string]string{
		"k8s:app": "web", "k8s:app.kubernetes.io/name": "web", "k8s:io.kubernetes.pod.namespace": "shop",
		"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": "shop",
		"k8s:io.cilium.k8s.namespace.labels.tier":                        "front",
		"k8s:io.cilium.k8s.policy.cluster":                               "default",
		"k8s:io.cilium.k8s.policy.serviceaccount":                        "web",
	}
	without := func(key string) map[string]string {
		rest := maps.Clone(always)
		delete(rest, key)
		return rest
	}
	with := func(key, value string) map[string]string {
		more := maps.Clone(always)
		more[key] = value
		return more
	}
	for _, test := range []struct {
		configured string
		want       map[string]string
	}{
		{"", with("k8s:team", "blue")},
		{"!team", always},
		{"k8s:!team", always},
		{"container:!team", with("k8s:team", "blue")},
		{"app", always},
		{`k8s:team io\.kubernetes`, with("k8s:team", "blue")},
		{`team !app$`, func() map[string]string {
			labels := without("k8s:app")
			labels["k8s:team"] = "blue"
			return labels
		}()},
	} {
		filter, err := newLabelFilter(test.configured)
		if err != nil {
			t.Fatal(err)
		}
		got := filter.securityLabels(pod, namespace, "default")
		want := test.want
		// A configuration that includes any label excludes all others, except those of Cilium.
		if filter.whitelist && test.configured != "app" {
			want = maps.Clone(want)
			delete(want, "k8s:app")
		}
		if !maps.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", test.configured, got, want)
		}
	}
	if _, err := newLabelFilter("("); err == nil {
		t.Error("an invalid pattern was accepted")
	}
}

func TestNamedPorts(t *testing.T) {
	pod := podFacts{namespace: "shop", ports: []namedPort{{"http", 8080, "TCP"}, {"metrics", 9100, "TCP"}, {"dns", 53, "UDP"}}}
	filter, _ := newLabelFilter("")
	got := filter.securityLabels(pod, nil, "default")["gen:io.cilium.k8s.named-ports"]
	if want := "dns.UDP.53_http.TCP.8080_metrics.TCP.9100"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// A label value has at most 63 characters; the rest goes into the next label.
	for i := range 6 {
		pod.ports = append(pod.ports, namedPort{"port-number-" + string(rune('a'+i)), 1000, "TCP"})
	}
	labels := filter.securityLabels(pod, nil, "default")
	for _, key := range []string{"gen:io.cilium.k8s.named-ports", "gen:io.cilium.k8s.named-ports-1", "gen:io.cilium.k8s.named-ports-2"} {
		if length := len(labels[key]); length == 0 || length > 63 {
			t.Errorf("%s is %q", key, labels[key])
		}
	}
}
