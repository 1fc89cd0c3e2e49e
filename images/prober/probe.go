package main

import (
	"bufio"
	"context"
	"log"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Maximum number of nodes of a full mesh, and the number of other nodes that each samples in larger clusters.
const (
	meshLimit  = 10
	meshDegree = 6
)

// Maximum number of samples per second that all nodes together send to a shared service (API server, DNS).
const sharedRate = 400

// Number of samples per second that one thread sends and answers. More threads than needed cost wake-ups: with five samples
// per second on three nodes, one thread per processor took 30 % more time than a single thread, on two processors.
const samplesPerThread = 250

// Time for which a prober still answers after SIGTERM, until its peers no longer sample it.
const shutdownDelay = 2 * time.Second

// peer is a prober as its EndpointSlice describes it.
type peer struct {
	node string
	ip   string
	// "pod", "host", or "peer": a pod that only answers samples of the probers of its own node.
	role string
}

// settings are read from the environment, which activities/helpers/probers.ts sets.
type settings struct {
	node, role, own    string
	target             netip.Prefix
	every              time.Duration
	service            string
	hostPort, nodePort int
	port               int
	outside            []string
	secret             probeKey
}

func readSettings() settings {
	number := func(name string) int {
		value, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		return value
	}
	target, err := netip.ParsePrefix(os.Getenv("TARGET_CIDR"))
	if err != nil {
		log.Fatalf("TARGET_CIDR: %v", err)
	}
	return settings{
		node: os.Getenv("NODE_NAME"), role: os.Getenv("ROLE"), own: os.Getenv("POD_IP"),
		target: target, every: time.Second / time.Duration(number("SAMPLES_PER_SECOND")),
		service: os.Getenv("SERVICE_IP"), hostPort: number("HOST_PORT"), nodePort: number("NODE_PORT"),
		port: number("PORT"), outside: strings.Fields(os.Getenv("OUTSIDE")),
		secret: readKey(),
	}
}

// network returns the network of an address.
func (s settings) network(role, ip string) string {
	if role == "host" {
		return "host"
	}
	if address, err := netip.ParseAddr(ip); err == nil && s.target.Contains(address) {
		return "cilium"
	}
	return "canal"
}

// threads returns the number of threads that a prober needs for these paths.
func (s settings) threads(paths map[string]path) int {
	perSecond := 0.0
	for _, p := range paths {
		perSecond += float64(time.Second) / float64(max(s.every, p.every))
	}
	return min(1+int(perSecond)/samplesPerThread, runtime.NumCPU())
}

func probe() {
	s := readSettings()
	runtime.GOMAXPROCS(1)
	results := newLedger()
	var known knownProbers
	s.serve(results, &known)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if s.role == "peer" {
		<-ctx.Done()
		time.Sleep(shutdownDelay)
		return
	}
	api := inCluster()
	store := &ledgerStore{api: api, name: "ledger-" + s.node, role: s.role, pod: os.Getenv("POD_NAME"), ledger: results}
	store.restore(ctx)
	peers := make(chan []peer, 1)
	go watchPeers(ctx, api, peers)
	go results.pauses.watch(ctx)
	flushRequested := make(chan struct{}, 1)
	go watchFlushRequests(ctx, api, store.name, flushRequested)
	running := map[string]context.CancelFunc{}
	var all sync.WaitGroup
	flush := time.NewTimer(0)
	nodeCount := 1
	for {
		select {
		case <-ctx.Done():
			for _, cancel := range running {
				cancel()
			}
			all.Wait()
			last, cancel := context.WithTimeout(context.Background(), shutdownDelay)
			store.write(last)
			<-last.Done()
			cancel()
			return
		case <-flush.C:
			store.write(ctx)
			flush.Reset(writeInterval(nodeCount))
		case <-flushRequested:
			// After this time, every sample that was sent before the request is answered or lost.
			flush.Reset(sampleTimeout)
		case ready := <-peers:
			desired := map[string]path{}
			nodeCount = len(nodeNames(ready))
			known.update(ready)
			for _, p := range s.paths(ready) {
				desired[p.key.text()+"\x00"+p.target] = p
			}
			runtime.GOMAXPROCS(s.threads(desired))
			for text, cancel := range running {
				if _, ok := desired[text]; !ok {
					cancel()
					delete(running, text)
				}
			}
			for text, p := range desired {
				if running[text] != nil {
					continue
				}
				each, cancel := context.WithCancel(ctx)
				running[text] = cancel
				all.Add(1)
				go func() {
					defer all.Done()
					p.run(each, s.every, results)
				}()
			}
		}
	}
}

// Interval between two writes of a prober. It grows with the number of nodes, so that all probers, two per node, together
// write about 33 times per second, and on thousands of nodes less often than kubelets renew their leases.
const (
	minWriteInterval     = 3 * time.Second
	writeIntervalPerNode = 60 * time.Millisecond
	maxWriteInterval     = 100 * time.Second
)

// writeInterval returns the time until the next write in a cluster of that many nodes, unless a flush is requested before.
func writeInterval(nodes int) time.Duration {
	return min(max(minWriteInterval, time.Duration(nodes)*writeIntervalPerNode), maxWriteInterval)
}

// nodeNames returns the names of the nodes of probers, sorted.
func nodeNames(peers []peer) []string {
	names := make([]string, len(peers))
	for i, p := range peers {
		names[i] = p.node
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// paths returns the paths that this prober samples, given all probers that are ready.
func (s settings) paths(peers []peer) []path {
	nodes := nodeNames(peers)
	mesh := neighbours(s.node, nodes, meshLimit, meshDegree)
	var all []path
	from := s.network(s.role, s.own)
	for _, p := range peers {
		// A pod reaches itself without any network, so it samples the peer of its node instead.
		within := p.node == s.node
		if !slices.Contains(mesh, p.node) || p.role == "peer" && !within || p.role == "pod" && within && s.role == "pod" {
			continue
		}
		to := s.network(p.role, p.ip)
		addTo := func(kind string, port int, size int) {
			address := net.JoinHostPort(p.ip, strconv.Itoa(port))
			all = append(all, path{key: pathKey{kind, p.node, from, to}, target: address, sample: sampleLine(address, size, s.secret)})
		}
		switch {
		case s.role == "host" && p.role == "host":
			if !within {
				addTo("host-host", s.port+1, 16)
			}
		case s.role == "host":
			// The pod and the peer of one node would share a path of the ledger.
			if p.role == "pod" {
				addTo("host-pod", linePort, 16)
			}
		case p.role != "host":
			addTo("pod-pod/small", linePort, 16)
			addTo("pod-pod/large", linePort, largeLine)
			addTo("pod-pod/allowed", allowedPort, 16)
			forbidden := net.JoinHostPort(p.ip, strconv.Itoa(deniedPort))
			all = append(all, path{
				key: pathKey{"pod-pod/denied", p.node, from, to}, target: forbidden, sample: sampleDenied(forbidden, s.secret), every: 500 * time.Millisecond,
			})
			for kind, network := range map[string]string{"pod-pod/udp": "udp", "pod-pod/stream": "tcp"} {
				port := map[string]int{"udp": port, "tcp": linePort}[network]
				address := net.JoinHostPort(p.ip, strconv.Itoa(port))
				all = append(all, path{key: pathKey{kind, p.node, from, to}, target: address, stream: sampleStream(network, address, s.secret)})
			}
		default:
			// Without a running pod behind it, the host port does not answer.
			if slices.ContainsFunc(peers, func(other peer) bool { return other.node == p.node && other.role == "pod" }) {
				hostPort := net.JoinHostPort(p.ip, strconv.Itoa(s.hostPort))
				all = append(all, path{key: pathKey{"pod-hostport", p.node, from, ""}, target: hostPort, sample: sampleLine(hostPort, 16, s.secret)})
			}
			nodePort := net.JoinHostPort(p.ip, strconv.Itoa(s.nodePort))
			all = append(all, path{key: pathKey{"pod-nodeport", p.node, from, ""}, target: nodePort, sample: sampleLine(nodePort, 16, s.secret)})
		}
	}
	if s.role != "pod" {
		return all
	}
	shared := max(s.every, time.Duration(len(nodes))*time.Second/sharedRate)
	addShared := func(kind, target string, every time.Duration, sample func(context.Context) outcome) {
		all = append(all, path{key: pathKey{kind, "", from, ""}, target: target, every: every, sample: sample})
	}
	service := net.JoinHostPort(s.service, strconv.Itoa(servicePort))
	addShared("pod-service", service, 0, sampleLine(service, 16, s.secret))
	if server, name := clusterDNS(); server != "" {
		addShared("pod-dns/udp", server, shared, dnsQuery("udp", server, name))
		addShared("pod-dns/tcp", server, shared, dnsQuery("tcp", server, name))
	}
	// Each sample is a TLS handshake: the interval limits the load of the API server.
	addShared("pod-api", "", max(shared, 500*time.Millisecond), apiServer())
	for _, address := range s.outside {
		all = append(all, path{
			key: pathKey{"pod-outside", address, from, ""}, target: address, every: 200 * time.Millisecond, sample: sampleConnect(address),
		})
	}
	return all
}

// clusterDNS reads the pod's resolv.conf. It returns the cluster's server and the full name of the API server's service.
func clusterDNS() (server, name string) {
	file, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return "", ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		if words[0] == "nameserver" && server == "" {
			server = words[1]
		}
		for _, domain := range words[1:] {
			if words[0] == "search" && strings.HasPrefix(domain, "svc.") {
				name = "kubernetes.default." + domain
			}
		}
	}
	if name == "" {
		return "", ""
	}
	return server, name
}
