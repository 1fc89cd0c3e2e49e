package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// A prober looks so often whether it runs.
	lookEvery = 100 * time.Millisecond
	// One that wakes so much later than it wanted to did not run meanwhile.
	stallAtLeast = 500 * time.Millisecond
	maxStalls    = 1000
)

// stalls are the times in which this prober did not run, because its machine had no processor for it. Nobody looked at the
// network then: gaps leave them out.
type stalls struct {
	mutex sync.Mutex
	// From and to (Unix, ms), the earliest first.
	spans [][2]int64
}

// watch notes stalls until the context ends.
func (s *stalls) watch(ctx context.Context) {
	for ctx.Err() == nil {
		wanted := time.Now().Add(lookEvery)
		pause(ctx, lookEvery)
		s.woke(wanted, time.Now())
	}
}

// woke notes that the prober wanted to wake at one time and did at another.
func (s *stalls) woke(wanted, at time.Time) {
	if at.Sub(wanted) < stallAtLeast {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.spans = append(s.spans, [2]int64{wanted.UnixMilli(), at.UnixMilli()})
	if over := len(s.spans) - maxStalls; over > 0 {
		s.spans = slices.Delete(s.spans, 0, over)
	}
}

// within tells how many ms of a time the prober did not run.
func (s *stalls) within(fromMs, toMs int64) int64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	sum := int64(0)
	for _, span := range slices.Backward(s.spans) {
		if span[1] <= fromMs {
			break
		}
		sum += max(0, min(span[1], toMs)-max(span[0], fromMs))
	}
	return sum
}
