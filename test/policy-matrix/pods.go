package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Interval between two scans for pods that have started or stopped.
const scanInterval = 100 * time.Millisecond

// endpoint is one end of flows: a pod, a node's own network, or a client outside the cluster.
type endpoint struct {
	group, node string
	ip          netip.Addr
	// "cilium" or "canal" for pods, "host" for nodes, "world" for clients outside.
	network string
	netns   *netns
	// Start of the endpoint's first flow. results sets it, under its mutex.
	firstFlow time.Time
	// Process of the endpoint, which exists as long as the process does.
	pid  int
	ctx  context.Context
	stop context.CancelFunc
}

func (e *endpoint) alive() bool {
	_, err := os.Stat("/proc/" + strconv.Itoa(e.pid))
	return err == nil
}

type matrix struct {
	spec   spec
	target netip.Prefix
	// Names of nodes by PID namespace.
	nodes     map[string]string
	mutex     sync.Mutex
	endpoints map[int]*endpoint
	// Processes that were inspected by an earlier scan.
	inspected map[int]bool
	results   *results
	servers   map[string][]check
	pace      *pace
	// Last time at which this program got no processor time, in Unix ms.
	starvedAt atomic.Int64
	// Number of scans for pods.
	scans atomic.Int64
}

func newMatrix(lab spec) (*matrix, error) {
	target, err := netip.ParsePrefix(lab.TargetCIDR)
	if err != nil {
		return nil, err
	}
	m := &matrix{
		spec: lab, target: target, nodes: map[string]string{}, endpoints: map[int]*endpoint{}, inspected: map[int]bool{},
		results: newResults(), servers: map[string][]check{}, pace: newPace(),
	}
	for _, served := range lab.Checks {
		m.servers[served.To] = append(m.servers[served.To], served)
	}
	for name, pid := range lab.Machines {
		link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid_for_children")
		if err != nil {
			return nil, err
		}
		if name == lab.World {
			m.add("world", name, pid)
			continue
		}
		m.nodes[link] = name
		m.add("host", name, pid)
	}
	return m, nil
}

// watch finds the pods of the lab by their processes, whose environment names their group.
func (m *matrix) watch() {
	for ; ; time.Sleep(scanInterval) {
		names, _ := processes()
		before := m.inspected
		// Rebuilt on every scan, because PIDs are reused.
		m.inspected = map[int]bool{}
		for _, name := range names {
			pid, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			entry := "/proc/" + name
			if before[pid] {
				m.inspected[pid] = true
				continue
			}
			link, err := os.Readlink(entry + "/ns/pid")
			if err != nil {
				continue
			}
			node, inLab := m.nodes[machineNamespace(link, m.nodes, pid)]
			if !inLab {
				m.inspected[pid] = true
				continue
			}
			text, err := os.ReadFile(entry + "/environ")
			if err != nil || len(text) == 0 {
				continue
			}
			if command, err := os.ReadFile(entry + "/comm"); err != nil || strings.HasPrefix(string(command), "runc") || strings.HasPrefix(string(command), "exe") {
				continue // the container's program has not started yet
			}
			m.inspected[pid] = true
			for _, variable := range strings.Split(string(text), "\x00") {
				if group, found := strings.CutPrefix(variable, "MATRIX_GROUP="); found {
					m.add(group, node, pid)
				}
			}
		}
		m.removeStopped()
		m.scans.Add(1)
	}
}

// waitForScans waits until watch has completed this many more scans.
func (m *matrix) waitForScans(more int64) {
	for last := m.scans.Load() + more; m.scans.Load() < last; {
		time.Sleep(scanInterval / 10)
	}
}

func processes() ([]string, error) {
	folder, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Readdirnames(-1)
}

// machineNamespace returns the PID namespace of the machine in which a process runs. Containers have their own PID namespace
// below that of the machine.
func machineNamespace(link string, machines map[string]string, pid int) string {
	if _, found := machines[link]; found {
		return link
	}
	for parent := pid; parent > 1; {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/stat")
		if err != nil {
			return ""
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 {
			return ""
		}
		parent, _ = strconv.Atoi(fields[1])
		if above, err := os.Readlink("/proc/" + strconv.Itoa(parent) + "/ns/pid"); err == nil {
			if _, found := machines[above]; found {
				return above
			}
		}
	}
	return ""
}

func (m *matrix) add(group, node string, pid int) {
	inside, err := enter(pid)
	if err != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &endpoint{group: group, node: node, netns: inside, pid: pid, ctx: ctx, stop: stop, network: group}
	if group != "host" {
		e.ip = inside.address()
		if group != "world" {
			e.network = "canal"
			if m.target.Contains(e.ip) {
				e.network = "cilium"
			}
		}
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.endpoints[pid] = e
	m.serve(e)
	for _, other := range m.endpoints {
		m.connect(e, other)
		if other != e {
			m.connect(other, e)
		}
	}
}

// removeStopped removes endpoints whose process has ended.
func (m *matrix) removeStopped() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for pid, e := range m.endpoints {
		if !e.alive() {
			e.stop()
			delete(m.endpoints, pid)
		}
	}
}

// connect starts every check from one endpoint to another.
func (m *matrix) connect(from, to *endpoint) {
	if !to.ip.IsValid() || from == to {
		return
	}
	index := 0
	for _, candidate := range m.spec.Checks {
		if candidate.From != from.group || candidate.To != to.group {
			continue
		}
		index++
		allowed := candidate.AllowedOther
		if from.node == to.node {
			allowed = candidate.AllowedSame
		}
		go m.sample(flow{check: candidate, from: from, to: to, allowed: allowed}, index)
	}
}

// serve answers on every port that a check to this endpoint's group uses.
func (m *matrix) serve(e *endpoint) {
	ports := map[string]bool{}
	checks := append([]check{{Protocol: "tcp", Port: m.spec.Control}, {Protocol: "udp", Port: m.spec.Control}}, m.servers[e.group]...)
	if len(m.servers[e.group]) == 0 {
		return
	}
	for _, served := range checks {
		key := served.Protocol + strconv.Itoa(served.Port)
		if ports[key] {
			continue
		}
		ports[key] = true
		if served.Protocol == "tcp" {
			go e.netns.listenTCP(e.ctx, served.Port)
		} else {
			go e.netns.listenUDP(e.ctx, served.Port)
		}
	}
}

// address returns the first IPv4 address of the namespace except the loopback address.
func (n *netns) address() netip.Addr {
	var first netip.Addr
	n.run(func() {
		addresses, _ := net.InterfaceAddrs()
		for _, address := range addresses {
			prefix, err := netip.ParsePrefix(address.String())
			if err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() && !first.IsValid() {
				first = prefix.Addr()
			}
		}
	})
	return first
}
