package main

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestWritesLessOftenTheMoreNodesThereAre(t *testing.T) {
	for nodes, want := range map[int]time.Duration{1: writeEvery, 50: writeEvery, 1_000: time.Minute, 5_000: writeAtMost} {
		if got := writePause(nodes); got != want {
			t.Errorf("with %d nodes it waits %v, not %v", nodes, got, want)
		}
	}
}

func TestIsAsked(t *testing.T) {
	event := func(at string) string {
		if at == "" {
			return `{"type":"MODIFIED","object":{"metadata":{"name":"ledger-n"}}}`
		}
		return `{"type":"MODIFIED","object":{"metadata":{"annotations":{"` + askedAnnotation + `":"` + at + `"}}}}`
	}
	for _, test := range []struct {
		name   string
		events []string
		last   string
		asked  bool
	}{
		{"by nobody", []string{event(""), event("")}, "0", false},
		{"once", []string{event(""), event("1"), event("1")}, "1", true},
		{"as before", []string{event("0")}, "0", false},
		{"again", []string{event("0"), event("1")}, "1", true},
		{"before the connection broke", []string{event("1"), `{"type":"MOD`}, "1", true},
	} {
		asked := make(chan struct{}, 1)
		last := readAsked(strings.NewReader(strings.Join(test.events, "\n")), "0", asked)
		if last != test.last {
			t.Errorf("%s: last asked for at %q, not %q", test.name, last, test.last)
		}
		if got := len(asked) > 0; got != test.asked {
			t.Errorf("%s: told: %v", test.name, got)
		}
	}
}

func TestThreadsForSamples(t *testing.T) {
	every := func(count int, duration time.Duration) map[string]path {
		paths := map[string]path{}
		for i := range count {
			paths[fmt.Sprint(i)] = path{every: duration}
		}
		return paths
	}
	s := settings{every: 50 * time.Millisecond}
	for _, test := range []struct {
		name  string
		paths map[string]path
		want  int
	}{
		{"none", nil, 1},
		{"few", every(10, 0), 1},
		{"many, each seldom", every(100, time.Second), 1},
		{"many", every(20, 0), min(2, runtime.NumCPU())},
		{"more than there are processors for", every(100_000, 0), runtime.NumCPU()},
	} {
		if got := s.threads(test.paths); got != test.want {
			t.Errorf("%s: %d threads, want %d", test.name, got, test.want)
		}
	}
}
