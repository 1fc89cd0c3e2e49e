package main

import (
	"testing"
	"time"
)

func TestWritesOftenWhileItsNodeIsMigrated(t *testing.T) {
	begin := time.Unix(1_000, 0)
	own := func(ip string) []peer {
		return []peer{{"other", "10.0.1.1", "pod"}, {"node", ip, "pod"}, {"node", "172.20.0.1", "host"}}
	}
	for _, test := range []struct {
		name  string
		taken bool
		seen  []string
		after time.Duration
		want  time.Duration
	}{
		{"a first one", false, []string{"10.0.0.2"}, time.Second, 60 * time.Second},
		{"one that goes on with an earlier one's page", true, []string{"10.0.0.3"}, time.Second, 10 * time.Second},
		{"one whose node got a new one", false, []string{"10.0.0.2", "10.32.0.2"}, time.Second, 10 * time.Second},
		{"one whose node got a new one long ago", false, []string{"10.0.0.2", "10.32.0.2"}, eagerFor, 60 * time.Second},
		{"one that sees the same again", false, []string{"10.0.0.2", "10.0.0.2"}, time.Second, 60 * time.Second},
	} {
		e := eagerness{node: "node", taken: test.taken}
		for _, ip := range test.seen {
			e.see(own(ip), begin)
		}
		if got := e.pause(1_000, begin.Add(test.after)); got != test.want {
			t.Errorf("%s waits %v, not %v", test.name, got, test.want)
		}
	}
	if got := (&eagerness{}).pause(3, begin); got != writeEvery {
		t.Errorf("in a small cluster it waits %v", got)
	}
	if got := (&eagerness{}).pause(5_000, begin); got != writeAtMost {
		t.Errorf("in the largest cluster it waits %v", got)
	}
}
