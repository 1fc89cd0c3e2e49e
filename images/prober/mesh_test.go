package main

import (
	"fmt"
	"slices"
	"testing"
)

func names(count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("node-%d", i)
	}
	return all
}

func TestSmallClustersAreAFullMesh(t *testing.T) {
	if got := neighbours("node-3", names(10), 10, 6); len(got) != 10 {
		t.Fatalf("%d of 10 nodes are sampled", len(got))
	}
}

func TestLargeClustersAreARegularConnectedGraph(t *testing.T) {
	for _, count := range []int{11, 100, 500} {
		all := names(count)
		graph := map[string][]string{}
		for _, name := range all {
			graph[name] = neighbours(name, all, 10, 6)
		}
		for name, others := range graph {
			// The node itself and two per ring; fewer where two rings have the same neighbour.
			if len(others) < 4 || len(others) > 7 {
				t.Fatalf("%d nodes: %s has %d neighbours", count, name, len(others))
			}
			for _, other := range others {
				if !slices.Contains(graph[other], name) {
					t.Fatalf("%d nodes: %s samples %s, but not the other way round", count, name, other)
				}
			}
		}
		reached := map[string]bool{all[0]: true}
		hops := 0
		for edge := []string{all[0]}; len(edge) > 0; hops++ {
			var next []string
			for _, name := range edge {
				for _, other := range graph[name] {
					if !reached[other] {
						reached[other] = true
						next = append(next, other)
					}
				}
			}
			edge = next
		}
		if len(reached) != count {
			t.Fatalf("%d nodes: only %d are connected", count, len(reached))
		}
		if hops > 12 {
			t.Fatalf("%d nodes: %d hops from one end to the other", count, hops)
		}
	}
}

func TestANodeThatJoinsChangesFewPaths(t *testing.T) {
	before, after := names(200), names(201)
	changed := 0
	for _, name := range before {
		old := neighbours(name, before, 10, 6)
		for _, other := range neighbours(name, after, 10, 6) {
			if !slices.Contains(old, other) {
				changed++
			}
		}
	}
	if changed > 6 {
		t.Fatalf("%d new paths from other nodes", changed)
	}
}
