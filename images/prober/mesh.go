package main

import (
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
)

// neighbours tells which nodes a node samples. Up to limit nodes that is every node. Above it, the nodes are laid out in
// degree/2 circles, each in an order of its own that a hash of the names gives, and a node samples those before and after
// it in each: a random regular graph. Every node has the same small number of neighbours whatever the size of the cluster,
// samples who samples it, reaches every other one over neighbours, and a node that joins or leaves changes two paths a
// circle. The node itself is always among them: paths within it break too.
func neighbours(self string, nodes []string, limit, degree int) []string {
	if len(nodes) <= limit {
		return slices.Clone(nodes)
	}
	chosen := map[string]bool{self: true}
	for circle := range max(1, degree/2) {
		order := slices.Clone(nodes)
		sort.Slice(order, func(a, b int) bool {
			left, right := place(circle, order[a]), place(circle, order[b])
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

func place(circle int, name string) uint64 {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%d/%s", circle, name)
	// FNV leaves names that differ in their last letter close together; this spreads them (MurmurHash3's finalizer).
	h := hash.Sum64()
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
