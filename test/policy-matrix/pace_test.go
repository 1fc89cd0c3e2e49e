package main

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	p := newPace()
	// Cores that a machine needs for one sample per second.
	const cores = 0.75
	for range 20 {
		p.adjust(cores / p.factor())
	}
	if got := p.stretched(time.Second); got < 2400*time.Millisecond || got > 2600*time.Millisecond {
		t.Errorf("with a demand of %v cores, the interval is %v", cores, got)
	}
	for range 20 {
		p.adjust(0.1)
	}
	if got := p.stretched(time.Second); got != time.Second {
		t.Errorf("without load, the interval is %v", got)
	}
	for range 20 {
		p.adjust(2)
	}
	if got := p.stretched(time.Second); got != maxStretch*time.Second {
		t.Errorf("on an overloaded machine, the interval is %v", got)
	}
}
