package main

import (
	"testing"
	"time"
)

func TestFlowsAreJudgedSinceAMark(t *testing.T) {
	b := newBook()
	pod := func(group, network string) *place { return &place{group: group, node: "n", network: network} }
	often := &flow{check: check{Name: "often"}, from: pod("a", "canal"), to: pod("b", "canal"), allowed: true}
	seldom := &flow{check: check{Name: "seldom"}, from: pod("a", "canal"), to: pod("b", "cilium")}
	later := &flow{check: check{Name: "later"}, from: pod("a", "canal"), to: pod("c", "canal"), allowed: true}
	now := time.Now()
	b.begin(often)
	b.begin(seldom)
	b.note(often, right, now)
	b.mark()
	b.begin(later)
	for range 3 {
		b.note(often, right, now)
	}
	b.note(seldom, lost, now)
	b.note(seldom, wrong, now)

	want := glance{Marked: 2, Fewest: 1, Which: seldom.text(), Wrong: 1, LetIn: 1}
	if got := b.glance(); got != want {
		t.Fatalf("%+v, not %+v", got, want)
	}

	b.end(seldom)
	want = glance{Marked: 1, Fewest: 3, Which: often.text()}
	if got := b.glance(); got != want {
		t.Fatalf("%+v, not %+v", got, want)
	}
}

func TestOnlyVerdictsThatNeedLabelsMayBeLateForNewPods(t *testing.T) {
	pod := func(network string) *place { return &place{group: "g", node: "n", network: network} }
	for name, one := range map[string]struct {
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
			b := newBook()
			f := &flow{check: check{ByDestination: true, DenyByLabels: one.denyByLabels}, from: pod("cilium"), to: pod(one.network), allowed: one.allowed}
			b.begin(f)
			b.note(f, wrong, f.from.born.Add(time.Second))
			b.end(f)
			if got := len(b.turn("", time.Now()).Mistakes) == 0; got != one.late {
				t.Fatalf("may be late: %v, not %v", got, one.late)
			}
		})
	}
}

func TestAPodThatEndsWhileItIsNewWasNew(t *testing.T) {
	b := newBook()
	m := &matrix{book: b, places: map[int]*place{}}
	pod := func() *place {
		p := &place{group: "g", node: "n", network: "canal", stop: func() {}}
		// No process has this number.
		p.pid = -1 - len(m.places)
		m.places[p.pid] = p
		return p
	}
	from, to := pod(), pod()
	f := &flow{from: from, to: to, allowed: true}
	b.begin(f)
	to.born = time.Now().Add(-time.Hour)
	b.note(f, wrong, time.Now())
	m.forget()
	b.end(f)
	if mistakes := b.turn("", time.Now()).Mistakes; len(mistakes) != 0 {
		t.Fatalf("%+v", mistakes)
	}
}
