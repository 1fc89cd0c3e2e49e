package main

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestWriteIntervalGrowsWithNodes(t *testing.T) {
	for nodes, want := range map[int]time.Duration{1: minWriteInterval, 50: minWriteInterval, 1_000: time.Minute, 5_000: maxWriteInterval} {
		if got := writeInterval(nodes); got != want {
			t.Errorf("with %d nodes the interval is %v, not %v", nodes, got, want)
		}
	}
}

func TestFlushRequests(t *testing.T) {
	event := func(at string) string {
		if at == "" {
			return `{"type":"MODIFIED","object":{"metadata":{"name":"ledger-n"}}}`
		}
		return `{"type":"MODIFIED","object":{"metadata":{"annotations":{"` + flushRequestedAnnotation + `":"` + at + `"}}}}`
	}
	for _, test := range []struct {
		name   string
		events []string
		last   string
		flush  bool
	}{
		{"without a request", []string{event(""), event("")}, "0", false},
		{"once", []string{event(""), event("1"), event("1")}, "1", true},
		{"the same request", []string{event("0")}, "0", false},
		{"another request", []string{event("0"), event("1")}, "1", true},
		{"before the connection broke", []string{event("1"), `{"type":"MOD`}, "1", true},
	} {
		flushRequested := make(chan struct{}, 1)
		last := readFlushRequests(strings.NewReader(strings.Join(test.events, "\n")), "0", flushRequested)
		if last != test.last {
			t.Errorf("%s: last request at %q, not %q", test.name, last, test.last)
		}
		if got := len(flushRequested) > 0; got != test.flush {
			t.Errorf("%s: flush requested: %v", test.name, got)
		}
	}
}

func TestThreads(t *testing.T) {
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
		{"many with a low rate", every(100, time.Second), 1},
		{"many", every(20, 0), min(2, runtime.NumCPU())},
		{"more than the processors can sample", every(100_000, 0), runtime.NumCPU()},
	} {
		if got := s.threads(test.paths); got != test.want {
			t.Errorf("%s: %d threads, want %d", test.name, got, test.want)
		}
	}
}
