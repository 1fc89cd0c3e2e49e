package main

import (
	"context"
	"fmt"
	"net/netip"
	"sort"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Networks of the simulated cluster, each with a /24 per node; the same as in cluster.ts.
var networks = map[string]netip.Addr{
	canal:  netip.MustParseAddr("10.0.0.0"),
	cilium: netip.MustParseAddr("10.32.0.0"),
}

// First address of the nodes themselves.
var firstNode = netip.MustParseAddr("172.20.0.1")

const (
	canal  = "canal"
	cilium = "cilium"

	// Annotations that kwok's stage for nodes reads (stages.yaml).
	managed        = "kwok.x-k8s.io/node"
	addressKey     = "simulator/address"
	hostAddressKey = "simulator/host-address"
)

// machine is the state of a node's kubelet and container runtime.
type machine struct {
	name  string
	index int
	ip    netip.Addr

	mutex sync.Mutex
	// Network of the CNI file on the node.
	network string
	taken   map[netip.Addr]bool
	last    map[string]int
}

func newMachines(count int) map[string]*machine {
	all := map[string]*machine{}
	for index := range count {
		name := fmt.Sprintf("node-%05d", index)
		all[name] = &machine{
			name: name, index: index, ip: plus(firstNode, index), network: canal,
			taken: map[netip.Addr]bool{}, last: map[string]int{},
		}
	}
	return all
}

func plus(address netip.Addr, offset int) netip.Addr {
	bytes := address.As4()
	value := uint32(bytes[0])<<24 | uint32(bytes[1])<<16 | uint32(bytes[2])<<8 | uint32(bytes[3])
	value += uint32(offset)
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)})
}

func (m *machine) cidr(network string) netip.Prefix {
	return netip.PrefixFrom(plus(networks[network], m.index*256), 24)
}

// wire allocates an address for a new pod in the current network of the node.
func (m *machine) wire() (string, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	first := m.cidr(m.network).Addr()
	// In ascending order, like the IPAM plugins of both networks.
	for range 253 {
		m.last[m.network] = m.last[m.network]%253 + 1
		address := plus(first, m.last[m.network]+1)
		if !m.taken[address] {
			m.taken[address] = true
			return address.String(), nil
		}
	}
	return "", fmt.Errorf("no free address on %s", m.name)
}

func (m *machine) unwire(ip string) {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.taken, address)
}

// write replaces the CNI file of the node.
func (m *machine) write(network string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.network = network
}

// createNodes creates all nodes; kwok writes their status.
func (s *simulator) createNodes(ctx context.Context) error {
	names := make([]string, 0, len(s.machines))
	for name := range s.machines {
		names = append(names, name)
	}
	sort.Strings(names)
	return each(16, names, func(name string) error {
		m := s.machines[name]
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{
				Name:   name,
				Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"},
				Annotations: map[string]string{
					managed: "fake", addressKey: m.ip.String(), hostAddressKey: s.host,
					"flannel.alpha.coreos.com/backend-type": "vxlan", "flannel.alpha.coreos.com/public-ip": m.ip.String(),
				},
			},
			Spec: corev1.NodeSpec{PodCIDR: m.cidr(canal).String(), PodCIDRs: []string{m.cidr(canal).String()}},
		}
		_, err := s.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

// each calls work for all items, at most limit in parallel, and returns the first error.
func each[T any](limit int, items []T, work func(T) error) error {
	var group sync.WaitGroup
	var once sync.Once
	var first error
	queue := make(chan T)
	for range limit {
		group.Go(func() {
			for item := range queue {
				if err := work(item); err != nil {
					once.Do(func() { first = err })
				}
			}
		})
	}
	for _, item := range items {
		queue <- item
	}
	close(queue)
	group.Wait()
	return first
}
