package main

import (
	"math"
	"sync/atomic"
	"syscall"
	"time"
)

// Maximum number of cores that this program uses; the kernel uses as much again for its packets. A lab without processor
// time loses packets and misses deadlines, which would be counted as wrong verdicts.
const maxCores = 0.3

// Maximum factor by which the interval between two samples is stretched.
const maxStretch = 8

// pace stretches the interval between two samples on a machine that is too slow for all of them.
type pace struct {
	stretch atomic.Uint64 // bits of a float64
}

func newPace() *pace {
	p := &pace{}
	p.stretch.Store(math.Float64bits(1))
	return p
}

// update adjusts the pace once per second.
func (p *pace) update() {
	used, at := usedTime(), time.Now()
	for range time.Tick(time.Second) {
		usedNow, now := usedTime(), time.Now()
		p.adjust(float64(usedNow-used) / float64(now.Sub(at)))
		used, at = usedNow, now
	}
}

// adjust adapts the pace to the number of cores that were used since the last call. The use is inversely proportional to
// the interval between samples; the square root dampens the adjustment, because the load of single seconds varies.
func (p *pace) adjust(cores float64) {
	next := p.factor() * math.Sqrt(cores/maxCores)
	p.stretch.Store(math.Float64bits(min(max(next, 1), maxStretch)))
}

// factor returns the current factor of the interval, from 1 to maxStretch.
func (p *pace) factor() float64 { return math.Float64frombits(p.stretch.Load()) }

// stretched returns the stretched interval between two samples.
func (p *pace) stretched(interval time.Duration) time.Duration {
	return time.Duration(float64(interval) * p.factor())
}

// usedTime returns the processor time that this program has used.
func usedTime() time.Duration {
	usage := syscall.Rusage{}
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
