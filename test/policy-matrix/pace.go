package main

import (
	"math"
	"sync/atomic"
	"syscall"
	"time"
)

// So much of a core this program takes at most; the kernel takes as much again for its packets. A lab that gets no core any
// more loses packets and misses deadlines, and that is not what policies are judged by.
const coresAtMost = 0.3

// By so much the time between two samples is stretched at most.
const stretchAtMost = 8

// pace stretches the time between two samples on a machine that is too slow for all of them.
type pace struct {
	stretch atomic.Uint64 // bits of a float64
}

func newPace() *pace {
	p := &pace{}
	p.stretch.Store(math.Float64bits(1))
	return p
}

// keep brings the pace up to date, once a second.
func (p *pace) keep() {
	used, at := usedTime(), time.Now()
	for range time.Tick(time.Second) {
		usedNow, now := usedTime(), time.Now()
		p.learn(float64(usedNow-used) / float64(now.Sub(at)))
		used, at = usedNow, now
	}
}

// learn hears how many cores were used since it last did. What is used is in inverse proportion to the time between
// samples; it goes half the way, because one second is not like the next.
func (p *pace) learn(cores float64) {
	next := p.now() * math.Sqrt(cores/coresAtMost)
	p.stretch.Store(math.Float64bits(min(max(next, 1), stretchAtMost)))
}

func (p *pace) now() float64 { return math.Float64frombits(p.stretch.Load()) }

// between is the time between two samples.
func (p *pace) between(interval time.Duration) time.Duration {
	return time.Duration(float64(interval) * p.now())
}

// usedTime is what this program has taken of the cores' time.
func usedTime() time.Duration {
	usage := syscall.Rusage{}
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
