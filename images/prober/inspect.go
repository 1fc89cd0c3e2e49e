package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// hostFacts contains the facts about a node that matter to two overlays on it.
type hostFacts struct {
	// True when the kernel provides its types (BTF), which BPF programs need for relocation.
	BTF bool `json:"btf"`
	// Reverse path filter by interface, with "all" and "default" (Linux: ip-sysctl).
	RPFilter map[string]int `json:"rpFilter"`
	Links    []link         `json:"links"`
	// IPv4 routes of the main table, as "CIDR dev LINK".
	Routes []string `json:"routes"`
	// Names of the files in the CNI folder $HOST_CNI, and the plugins that each configures.
	CNIFiles map[string][]string `json:"cniFiles"`
	// Error of reading the folder; empty on success.
	CNIError string `json:"cniError,omitempty"`
	// Plugins that the file $CNI_FILE chains.
	ChainedPlugins map[string]pluginVersions `json:"chainedPlugins"`
	// Configuration of kube-proxy; nil when none answers.
	KubeProxy *kubeProxyFacts `json:"kubeProxy,omitempty"`
	// True when the kernel has nftables; nil when that is unknown.
	Nftables *bool `json:"nftables,omitempty"`
	// Error of listening on the UDP port; empty on success.
	PortTaken string       `json:"portTaken,omitempty"`
	Peers     []peerResult `json:"peers"`
}

type link struct {
	Name string `json:"name"`
	MTU  int    `json:"mtu"`
	Up   bool   `json:"up"`
	// IPv4 addresses with their prefix length.
	Addresses []string `json:"addresses,omitempty"`
	Kind      string   `json:"kind,omitempty"`
	// VNI and UDP port of a VXLAN link.
	VNI  int `json:"vni,omitempty"`
	Port int `json:"port,omitempty"`
}

// peerAddress is one element of $PEERS, which is a JSON array.
type peerAddress struct{ Node, IP string }

type peerResult struct {
	Node  string `json:"node"`
	Error string `json:"error,omitempty"`
}

// inspect prints the facts as one line of JSON when every peer has answered or the deadline has passed. It continues to
// answer until it is stopped, because its peers may still wait for answers.
func inspect() {
	facts := hostFacts{Peers: []peerResult{}, Links: []link{}}
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	facts.BTF = err == nil
	facts.Nftables = hasNftables("/proc/config.gz", "/proc/kallsyms")
	if facts.Links, err = links(); err != nil {
		log.Print(err)
	}
	facts.RPFilter = rpFilters(facts.Links)
	facts.Routes = routes()
	if facts.CNIFiles, err = cniFiles(os.Getenv("HOST_CNI")); err != nil {
		facts.CNIError = err.Error()
	}
	chain := facts.CNIFiles[os.Getenv("CNI_FILE")]
	facts.ChainedPlugins = chainedPlugins(os.Getenv("HOST_CNI_BIN"), chain)
	if facts.KubeProxy, err = readKubeProxy(context.Background(), kubeProxyAddress); err != nil {
		log.Print(err)
	}
	if port := os.Getenv("UDP_PORT"); port != "" {
		secret := readKey()
		// On all addresses, as the overlay will: a program that uses the port on one of them would be in its way.
		if socket, err := listenUDP(port); err != nil {
			facts.PortTaken = err.Error()
		} else {
			go echoPackets(socket, secret)
			facts.Peers = checkPeers(port, secret)
		}
	}
	text, _ := json.Marshal(facts)
	fmt.Println(string(text))
	select {}
}

func listenUDP(port string) (*net.UDPConn, error) {
	address, err := net.ResolveUDPAddr("udp4", ":"+port)
	if err != nil {
		return nil, err
	}
	return net.ListenUDP("udp4", address)
}

// rpFilters returns the reverse path filter of the links, and the values "all" and "default". Every pod has an interface on
// the node; the value of a new one is that of "default".
func rpFilters(links []link) map[string]int {
	values := map[string]int{}
	for _, name := range append([]string{"all", "default"}, linkNames(links)...) {
		if text, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv4/conf", name, "rp_filter")); err == nil {
			values[name], _ = strconv.Atoi(strings.TrimSpace(string(text)))
		}
	}
	return values
}

func linkNames(links []link) []string {
	all := []string{}
	for _, l := range links {
		all = append(all, l.Name)
	}
	return all
}

// peerTimeout returns the time in which a peer must answer, $PEER_SECONDS. Nodes start the pods at different times, and may
// have to pull the image first.
func peerTimeout() time.Duration {
	seconds, err := strconv.Atoi(os.Getenv("PEER_SECONDS"))
	if err != nil {
		log.Fatalf("PEER_SECONDS: %v", err)
	}
	return time.Duration(seconds) * time.Second
}

// isPodLink returns true for a pod's interface, of Calico, Cilium or another plugin. One with an address is the node's own:
// where nodes are containers, the uplink may be called veth0.
func isPodLink(l link) bool {
	for _, prefix := range []string{"cali", "lxc", "veth"} {
		if strings.HasPrefix(l.Name, prefix) {
			return len(l.Addresses) == 0
		}
	}
	return false
}

// checkPeers sends packets to the UDP port of every peer until each has answered or the timeout has passed.
func checkPeers(port string, secret probeKey) []peerResult {
	var peers []peerAddress
	if err := json.Unmarshal([]byte(os.Getenv("PEERS")), &peers); err != nil {
		log.Fatalf("PEERS: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), peerTimeout())
	defer cancel()
	return inParallel(peers, func(p peerAddress) peerResult {
		// A refused packet is repeated: the peer may not have started yet.
		err := retry(ctx, 300*time.Millisecond, func() error {
			return echoUDP(ctx, net.JoinHostPort(p.IP, port), time.Second, secret)
		})
		if err != nil {
			return peerResult{p.Node, err.Error()}
		}
		return peerResult{Node: p.Node}
	})
}

// routes reads the main table (Linux: /proc/net/route contains addresses as hexadecimal numbers in host byte order).
func routes() []string {
	text, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil
	}
	all := []string{}
	for _, line := range strings.Split(string(text), "\n")[1:] {
		words := strings.Fields(line)
		if len(words) < 8 {
			continue
		}
		to, err1 := hexAddress(words[1])
		mask, err2 := hexAddress(words[7])
		if errors.Join(err1, err2) != nil {
			continue
		}
		ones, _ := net.IPMask(mask).Size()
		all = append(all, fmt.Sprintf("%s/%d dev %s", to, ones, words[0]))
	}
	sort.Strings(all)
	return all
}

func hexAddress(text string) (net.IP, error) {
	number, err := strconv.ParseUint(text, 16, 32)
	return net.IPv4(byte(number), byte(number>>8), byte(number>>16), byte(number>>24)).To4(), err
}
