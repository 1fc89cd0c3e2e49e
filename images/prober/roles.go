package main

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// serve answers samples, and requests that the role of the prober needs, in the background.
func (s settings) serve(results *ledger, known *knownProbers) {
	metrics := results.metrics(time.Now)
	if s.role == "host" {
		// Only on the address of the node that its peers know: others may belong to networks outside of the cluster.
		serveHTTP(s.own, s.port, endpoints{metrics: metrics})
		serveLines(s.own, s.port+1, s.secret)
		return
	}
	for _, port := range []int{linePort, allowedPort, deniedPort, servicePort, nodePortPort, hostPortPort} {
		serveLines("", port, s.secret)
	}
	serveUDP(s.port, s.secret)
	if s.role == "peer" {
		serveHTTP("", s.port, endpoints{})
		return
	}
	serveHTTP("", s.port, endpoints{secret: s.secret, echo: true, dialable: known.contains, dialPort: port, metrics: metrics})
}

// knownProbers are the addresses of the probers in the pod network.
type knownProbers struct {
	addresses atomic.Pointer[map[netip.Addr]bool]
}

func (k *knownProbers) update(peers []peer) {
	addresses := map[netip.Addr]bool{}
	for _, p := range peers {
		if address, err := netip.ParseAddr(p.ip); err == nil && p.role == "pod" {
			addresses[address] = true
		}
	}
	k.addresses.Store(&addresses)
}

func (k *knownProbers) contains(address netip.Addr) bool {
	addresses := k.addresses.Load()
	return addresses != nil && (*addresses)[address]
}
