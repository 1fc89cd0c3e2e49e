package main

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	p := newPace()
	// What a machine takes for samples a second apart.
	const cores = 0.75
	for range 20 {
		p.learn(cores / p.now())
	}
	if got := p.between(time.Second); got < 2400*time.Millisecond || got > 2600*time.Millisecond {
		t.Errorf("a machine that would give %v cores has %v between samples", cores, got)
	}
	for range 20 {
		p.learn(0.1)
	}
	if got := p.between(time.Second); got != time.Second {
		t.Errorf("with time to spare, there is %v between samples", got)
	}
	for range 20 {
		p.learn(2)
	}
	if got := p.between(time.Second); got != stretchAtMost*time.Second {
		t.Errorf("a machine that is never fast enough has %v between samples", got)
	}
}
