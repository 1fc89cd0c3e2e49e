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
