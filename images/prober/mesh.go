package main

import (
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
)

// neighbours returns the nodes that a node samples. Up to limit nodes, that is every node. Above it, the nodes form
// degree/2 rings, each ordered by another hash of the names, and a node samples its predecessor and successor in each: a
// random regular graph. Every node has the same small number of neighbours in a cluster of any size, is sampled by the nodes
// that it samples, and is connected to every other node; a node that joins or leaves changes two paths per ring. The result
// always contains the node itself, because paths within a node can break too.
func neighbours(self string, nodes []string, limit, degree int) []string {
	if len(nodes) <= limit {
		return slices.Clone(nodes)
	}
	chosen := map[string]bool{self: true}
	for ring := range max(1, degree/2) {
		order := slices.Clone(nodes)
		sort.Slice(order, func(a, b int) bool {
			left, right := hash(ring, order[a]), hash(ring, order[b])
			return left < right || left == right && order[a] < order[b]
		})
		at := slices.Index(order, self)
		if at < 0 {
			continue
		}
		chosen[order[(at+1)%len(order)]] = true
		chosen[order[(at+len(order)-1)%len(order)]] = true
	}
	var names []string
	for name := range chosen {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func hash(ring int, name string) uint64 {
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%d/%s", ring, name)
	// FNV maps names that differ in their last letter to close values; MurmurHash3's finalizer spreads them.
	h := sum.Sum64()
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
