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

// How often it is looked for pods that have come or gone.
const lookEvery = 100 * time.Millisecond

// place is where packets come from or go to: a pod, a node's own network, or the world outside.
type place struct {
	group, node string
	ip          netip.Addr
	// cilium or canal; host for nodes, world for the rest
	network string
	space   *space
	// When its first flow began. The book sets it, under its mutex.
	born time.Time
	// the process that stands for it: it is there as long as that is
	pid  int
	ctx  context.Context
	stop context.CancelFunc
}

func (p *place) alive() bool {
	_, err := os.Stat("/proc/" + strconv.Itoa(p.pid))
	return err == nil
}

type matrix struct {
	spec    spec
	target  netip.Prefix
	nodes   map[string]string // by PID namespace
	mutex   sync.Mutex
	places  map[int]*place
	seen    map[int]bool
	book    *book
	servers map[string][]check
	pace    *pace
	// When this program last had to wait for a core, in Unix ms.
	starvedAt atomic.Int64
	// How often watch has looked for pods.
	looks atomic.Int64
}

func newMatrix(wanted spec) (*matrix, error) {
	target, err := netip.ParsePrefix(wanted.TargetCIDR)
	if err != nil {
		return nil, err
	}
	m := &matrix{
		spec: wanted, target: target, nodes: map[string]string{}, places: map[int]*place{}, seen: map[int]bool{},
		book: newBook(), servers: map[string][]check{}, pace: newPace(),
	}
	for _, one := range wanted.Checks {
		m.servers[one.To] = append(m.servers[one.To], one)
	}
	for name, pid := range wanted.Machines {
		link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid_for_children")
		if err != nil {
			return nil, err
		}
		if name == wanted.World {
			m.add("world", name, pid)
			continue
		}
		m.nodes[link] = name
		m.add("host", name, pid)
	}
	return m, nil
}

// watch finds the pods of the lab by their processes: one whose environment names its group, in a machine of ours.
func (m *matrix) watch() {
	for ; ; time.Sleep(lookEvery) {
		names, _ := processes()
		before := m.seen
		// Numbers are given again.
		m.seen = map[int]bool{}
		for _, name := range names {
			pid, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			entry := "/proc/" + name
			if before[pid] {
				m.seen[pid] = true
				continue
			}
			link, err := os.Readlink(entry + "/ns/pid")
			if err != nil {
				continue
			}
			node, ours := m.nodes[machineOf(link, m.nodes, pid)]
			if !ours {
				m.seen[pid] = true
				continue
			}
			text, err := os.ReadFile(entry + "/environ")
			if err != nil || len(text) == 0 {
				continue
			}
			if command, err := os.ReadFile(entry + "/comm"); err != nil || strings.HasPrefix(string(command), "runc") || strings.HasPrefix(string(command), "exe") {
				continue // not itself yet
			}
			m.seen[pid] = true
			for _, variable := range strings.Split(string(text), "\x00") {
				if group, found := strings.CutPrefix(variable, "MATRIX_GROUP="); found {
					m.add(group, node, pid)
				}
			}
		}
		m.forget()
		m.looks.Add(1)
	}
}

// waitForLooks waits until watch has looked for pods so many more times.
func (m *matrix) waitForLooks(more int64) {
	for wanted := m.looks.Load() + more; m.looks.Load() < wanted; {
		time.Sleep(lookEvery / 10)
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

// machineOf gives the PID namespace of the machine that a process is in: containers have one of their own below it.
func machineOf(link string, machines map[string]string, pid int) string {
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
	p := &place{group: group, node: node, space: inside, pid: pid, ctx: ctx, stop: stop, network: group}
	if group != "host" {
		p.ip = inside.address()
		if group != "world" {
			p.network = "canal"
			if m.target.Contains(p.ip) {
				p.network = "cilium"
			}
		}
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.places[pid] = p
	m.serve(p)
	for _, other := range m.places {
		m.connect(p, other)
		if other != p {
			m.connect(other, p)
		}
	}
}

func (m *matrix) forget() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for pid, p := range m.places {
		if !p.alive() {
			p.stop()
			delete(m.places, pid)
		}
	}
}

// connect begins every check between two places.
func (m *matrix) connect(from, to *place) {
	if !to.ip.IsValid() || from == to {
		return
	}
	index := 0
	for _, one := range m.spec.Checks {
		if one.From != from.group || one.To != to.group {
			continue
		}
		index++
		allowed := one.AllowedOther
		if from.node == to.node {
			allowed = one.AllowedSame
		}
		go m.sample(flow{check: one, from: from, to: to, allowed: allowed}, index)
	}
}

// serve answers on every port that a check of this group is about.
func (m *matrix) serve(p *place) {
	ports := map[string]bool{}
	checks := append([]check{{Protocol: "tcp", Port: m.spec.Control}, {Protocol: "udp", Port: m.spec.Control}}, m.servers[p.group]...)
	if len(m.servers[p.group]) == 0 {
		return
	}
	for _, one := range checks {
		key := one.Protocol + strconv.Itoa(one.Port)
		if ports[key] {
			continue
		}
		ports[key] = true
		if one.Protocol == "tcp" {
			go p.space.listenTCP(p.ctx, one.Port)
		} else {
			go p.space.listenUDP(p.ctx, one.Port)
		}
	}
}

// address is the first IPv4 address of the namespace that is not its loopback's.
func (s *space) address() netip.Addr {
	var found netip.Addr
	s.do(func() {
		addresses, _ := net.InterfaceAddrs()
		for _, one := range addresses {
			prefix, err := netip.ParsePrefix(one.String())
			if err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() && !found.IsValid() {
				found = prefix.Addr()
			}
		}
	})
	return found
}
