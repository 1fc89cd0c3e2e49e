package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// Interval of the timer that detects pauses.
	pauseCheckInterval = 100 * time.Millisecond
	// Minimum delay of the timer that counts as a pause.
	minPause = 500 * time.Millisecond
	// Maximum number of pauses that are kept, the latest.
	maxPauses = 1000
)

// pauses are the periods in which this prober did not run because its machine had no processor time for it. The network was
// not measured then, so gaps exclude them.
type pauses struct {
	mutex sync.Mutex
	// Start and end (Unix, ms), the earliest first.
	spans [][2]int64
}

// watch records pauses until the context ends.
func (s *pauses) watch(ctx context.Context) {
	for ctx.Err() == nil {
		expected := time.Now().Add(pauseCheckInterval)
		pause(ctx, pauseCheckInterval)
		s.recordPause(expected, time.Now())
	}
}

// recordPause records a pause when the timer fired much later than expected.
func (s *pauses) recordPause(expected, actual time.Time) {
	if actual.Sub(expected) < minPause {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.spans = append(s.spans, [2]int64{expected.UnixMilli(), actual.UnixMilli()})
	if excess := len(s.spans) - maxPauses; excess > 0 {
		s.spans = slices.Delete(s.spans, 0, excess)
	}
}

// within returns the duration in ms of all pauses within a period.
func (s *pauses) within(fromMs, toMs int64) int64 {
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
