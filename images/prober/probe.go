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

// Up to so many nodes every one samples every one; above, each samples this many others.
const (
	meshLimit  = 10
	meshDegree = 6
)

// What all nodes share (API server, DNS) gets at most so many samples a second from all of them together.
const sharedRate = 400

// So many samples a second one thread sends and answers. Each further thread is woken, and woken again, for a moment of work:
// with five samples a second on three nodes, all threads of two processors took 30 % more time than one.
const samplesPerThread = 250

// For so long a prober that was told to end still answers, until its peers know.
const lingering = 2 * time.Second

// peer is another prober, as its EndpointSlice shows it.
type peer struct {
	node string
	ip   string
	// "pod", "host", or "peer": a pod that only answers, for the probers of its own node.
	role string
}

// settings come from the environment: see probers.ts.
type settings struct {
	node, role, own    string
	target             netip.Prefix
	every              time.Duration
	service            string
	hostPort, nodePort int
	port               int
	outside            []string
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
	}
}

// network tells which one an address belongs to.
func (s settings) network(role, ip string) string {
	if role == "host" {
		return "host"
	}
	if address, err := netip.ParseAddr(ip); err == nil && s.target.Contains(address) {
		return "cilium"
	}
	return "canal"
}

// threads tells how many threads a prober needs for these paths.
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
	book := newLedger()
	serve(s.port, book.metrics)
	if s.role == "host" {
		serveLines(s.port + 1)
	} else {
		for _, port := range []int{linePort, allowedPort, deniedPort, servicePort, nodePortPort, hostPortPort} {
			serveLines(port)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if s.role == "peer" {
		<-ctx.Done()
		time.Sleep(lingering)
		return
	}
	api := inCluster()
	store := &ledgerStore{api: api, name: "ledger-" + s.node, role: s.role, pod: os.Getenv("POD_NAME"), book: book}
	store.restore(ctx)
	peers := make(chan []peer, 1)
	go watchPeers(ctx, api, peers)
	go book.stalls.watch(ctx)
	asked := make(chan struct{}, 1)
	go watchAsked(ctx, api, store.name, asked)
	running := map[string]context.CancelFunc{}
	var all sync.WaitGroup
	flush := time.NewTimer(0)
	known := 1
	for {
		select {
		case <-ctx.Done():
			for _, cancel := range running {
				cancel()
			}
			all.Wait()
			last, cancel := context.WithTimeout(context.Background(), lingering)
			store.write(last)
			<-last.Done()
			cancel()
			return
		case <-flush.C:
			store.write(ctx)
			flush.Reset(writePause(known))
		case <-asked:
			// By then, all that was sent before is answered or lost.
			flush.Reset(sampleTimeout)
		case found := <-peers:
			wanted := map[string]path{}
			known = len(nodesOf(found))
			for _, p := range s.paths(found) {
				wanted[p.key.text()+"\x00"+p.target] = p
			}
			runtime.GOMAXPROCS(s.threads(wanted))
			for text, cancel := range running {
				if _, ok := wanted[text]; !ok {
					cancel()
					delete(running, text)
				}
			}
			for text, p := range wanted {
				if running[text] != nil {
					continue
				}
				each, cancel := context.WithCancel(ctx)
				running[text] = cancel
				all.Add(1)
				go func() {
					defer all.Done()
					p.run(each, s.every, book)
				}()
			}
		}
	}
}

// How long a prober waits between two writes: longer the more nodes there are, so that all of them together write some
// thirty times a second, and on thousands of nodes still less often than kubelets renew their leases.
const (
	writeEvery  = 3 * time.Second
	writeShare  = 60 * time.Millisecond
	writeAtMost = 100 * time.Second
)

// writePause is how long to wait until the next write, in a cluster of so many nodes, unless somebody asks before.
func writePause(nodes int) time.Duration {
	return min(max(writeEvery, time.Duration(nodes)*writeShare), writeAtMost)
}

// nodesOf names the nodes of probers, in order.
func nodesOf(peers []peer) []string {
	names := make([]string, len(peers))
	for i, p := range peers {
		names[i] = p.node
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// paths lists what this prober samples, given all probers that answer.
func (s settings) paths(peers []peer) []path {
	nodes := nodesOf(peers)
	mesh := neighbours(s.node, nodes, meshLimit, meshDegree)
	var all []path
	from := s.network(s.role, s.own)
	for _, p := range peers {
		// A pod reaches itself without any network: within its node it samples the peer there.
		within := p.node == s.node
		if !slices.Contains(mesh, p.node) || p.role == "peer" && !within || p.role == "pod" && within && s.role == "pod" {
			continue
		}
		to := s.network(p.role, p.ip)
		addTo := func(kind string, port int, size int) {
			address := net.JoinHostPort(p.ip, strconv.Itoa(port))
			all = append(all, path{key: pathKey{kind, p.node, from, to}, target: address, sample: oneLine(address, size)})
		}
		switch {
		case s.role == "host" && p.role == "host":
			if !within {
				addTo("host-host", s.port+1, 16)
			}
		case s.role == "host":
			// The pod of the same node twice would be one path in the ledger.
			if p.role == "pod" {
				addTo("host-pod", linePort, 16)
			}
		case p.role != "host":
			addTo("pod-pod/small", linePort, 16)
			addTo("pod-pod/large", linePort, largeLine)
			addTo("pod-pod/allowed", allowedPort, 16)
			forbidden := net.JoinHostPort(p.ip, strconv.Itoa(deniedPort))
			all = append(all, path{
				key: pathKey{"pod-pod/denied", p.node, from, to}, target: forbidden, sample: denied(forbidden), every: 500 * time.Millisecond,
			})
			for kind, network := range map[string]string{"pod-pod/udp": "udp", "pod-pod/stream": "tcp"} {
				port := map[string]int{"udp": port, "tcp": linePort}[network]
				address := net.JoinHostPort(p.ip, strconv.Itoa(port))
				all = append(all, path{key: pathKey{kind, p.node, from, to}, target: address, stream: overConnection(network, address)})
			}
		default:
			// While the pod behind it is made anew, there is no host port.
			if slices.ContainsFunc(peers, func(other peer) bool { return other.node == p.node && other.role == "pod" }) {
				hostPort := net.JoinHostPort(p.ip, strconv.Itoa(s.hostPort))
				all = append(all, path{key: pathKey{"pod-hostport", p.node, from, ""}, target: hostPort, sample: oneLine(hostPort, 16)})
			}
			nodePort := net.JoinHostPort(p.ip, strconv.Itoa(s.nodePort))
			all = append(all, path{key: pathKey{"pod-nodeport", p.node, from, ""}, target: nodePort, sample: oneLine(nodePort, 16)})
		}
	}
	if s.role != "pod" {
		return all
	}
	shared := max(s.every, time.Duration(len(nodes))*time.Second/sharedRate)
	once := func(kind, target string, every time.Duration, sample func(context.Context) outcome) {
		all = append(all, path{key: pathKey{kind, "", from, ""}, target: target, every: every, sample: sample})
	}
	service := net.JoinHostPort(s.service, strconv.Itoa(servicePort))
	once("pod-service", service, 0, oneLine(service, 16))
	if server, name := clusterDNS(); server != "" {
		once("pod-dns/udp", server, shared, dnsQuery("udp", server, name))
		once("pod-dns/tcp", server, shared, dnsQuery("tcp", server, name))
	}
	// A TLS handshake each: an API server has better things to do.
	once("pod-api", "", max(shared, 500*time.Millisecond), apiServer())
	for _, address := range s.outside {
		all = append(all, path{
			key: pathKey{"pod-outside", address, from, ""}, target: address, every: 200 * time.Millisecond, sample: connects(address),
		})
	}
	return all
}

// clusterDNS reads the pod's resolv.conf: the cluster's server, and the full name of the API server's service.
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
