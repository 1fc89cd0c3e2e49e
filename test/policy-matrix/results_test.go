package main

import (
	"testing"
	"time"
)

func TestVerdictsAreCountedSinceAMark(t *testing.T) {
	b := newResults()
	pod := func(group, network string) *endpoint { return &endpoint{group: group, node: "n", network: network} }
	frequent := &flow{check: check{Name: "frequent"}, from: pod("a", "canal"), to: pod("b", "canal"), allowed: true}
	rare := &flow{check: check{Name: "rare"}, from: pod("a", "canal"), to: pod("b", "cilium")}
	later := &flow{check: check{Name: "later"}, from: pod("a", "canal"), to: pod("c", "canal"), allowed: true}
	now := time.Now()
	b.startFlow(frequent)
	b.startFlow(rare)
	b.add(frequent, correct, now)
	b.mark()
	b.startFlow(later)
	for range 3 {
		b.add(frequent, correct, now)
	}
	b.add(rare, lost, now)
	b.add(rare, wrong, now)

	want := state{Marked: 2, Fewest: 1, Which: rare.text(), Wrong: 1, Accepted: 1}
	if got := b.state(); got != want {
		t.Fatalf("%+v, not %+v", got, want)
	}

	b.endFlow(rare)
	want = state{Marked: 1, Fewest: 3, Which: frequent.text()}
	if got := b.state(); got != want {
		t.Fatalf("%+v, not %+v", got, want)
	}
}

func TestOnlyVerdictsThatNeedLabelsMayBeLateForNewPods(t *testing.T) {
	pod := func(network string) *endpoint { return &endpoint{group: "g", node: "n", network: network} }
	for name, test := range map[string]struct {
		allowed, denyByLabels bool
		network               string
		late                  bool
	}{
		"allowed":                       {allowed: true, network: "cilium", late: true},
		"denied by Calico":              {network: "canal", late: true},
		"denied by Cilium, by default":  {network: "cilium"},
		"denied by Cilium, with a Deny": {network: "cilium", denyByLabels: true, late: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newResults()
			f := &flow{check: check{ByDestination: true, DenyByLabels: test.denyByLabels}, from: pod("cilium"), to: pod(test.network), allowed: test.allowed}
			b.startFlow(f)
			b.add(f, wrong, f.from.firstFlow.Add(time.Second))
			b.endFlow(f)
			if got := len(b.endStage("", time.Now()).Mistakes) == 0; got != test.late {
				t.Fatalf("may be late: %v, not %v", got, test.late)
			}
		})
	}
}

func TestAPodThatStopsWhileItIsNewWasNew(t *testing.T) {
	b := newResults()
	m := &matrix{results: b, endpoints: map[int]*endpoint{}}
	pod := func() *endpoint {
		p := &endpoint{group: "g", node: "n", network: "canal", stop: func() {}}
		// No process has a negative PID.
		p.pid = -1 - len(m.endpoints)
		m.endpoints[p.pid] = p
		return p
	}
	from, to := pod(), pod()
	f := &flow{from: from, to: to, allowed: true}
	b.startFlow(f)
	to.firstFlow = time.Now().Add(-time.Hour)
	b.add(f, wrong, time.Now())
	m.removeStopped()
	b.endFlow(f)
	if mistakes := b.endStage("", time.Now()).Mistakes; len(mistakes) != 0 {
		t.Fatalf("%+v", mistakes)
	}
}
