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
	"sync"
	"time"
)

// hostFacts is what one node is like, as far as two overlays on it are concerned.
type hostFacts struct {
	// Whether the kernel tells its own types (BTF), which BPF programs are fitted to.
	BTF bool `json:"btf"`
	// Reverse path filter by interface; "all" and "default" count too (Linux: ip-sysctl).
	RPFilter map[string]int `json:"rpFilter"`
	Links    []link         `json:"links"`
	// IPv4 routes of the main table, as "CIDR dev LINK".
	Routes []string `json:"routes"`
	// Names of the files in /etc/cni/net.d, and the plugins that each names.
	CNIFiles map[string][]string `json:"cniFiles"`
	// Why nothing could listen on the UDP port; empty when it could.
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
	// Of a VXLAN link.
	VNI  int `json:"vni,omitempty"`
	Port int `json:"port,omitempty"`
}

type peerResult struct {
	Node  string `json:"node"`
	Error string `json:"error,omitempty"`
}

// inspect prints the facts as one line of JSON, once every peer has answered or the time is over. It goes on answering
// until it is ended, because its peers may not be done.
func inspect() {
	root := os.Getenv("HOST_CNI")
	facts := hostFacts{
		RPFilter: map[string]int{}, CNIFiles: map[string][]string{}, Peers: []peerResult{}, Routes: []string{}, Links: []link{},
	}
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	facts.BTF = err == nil
	files, _ := filepath.Glob("/proc/sys/net/ipv4/conf/*/rp_filter")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			value, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			name := filepath.Base(filepath.Dir(file))
			// Every pod has an interface on the node; what counts is what a new one gets.
			if name == "all" || name == "default" || !isPodLink(name) {
				facts.RPFilter[name] = value
			}
		}
	}
	if facts.Links, err = links(); err != nil {
		log.Print(err)
	}
	facts.Routes = routes()
	if entries, err := os.ReadDir(root); err == nil {
		for _, entry := range entries {
			if entry.Type().IsRegular() {
				facts.CNIFiles[entry.Name()] = plugins(filepath.Join(root, entry.Name()))
			}
		}
	}
	var socket net.PacketConn
	if port := os.Getenv("UDP_PORT"); port != "" {
		if socket, err = net.ListenPacket("udp4", ":"+port); err != nil {
			facts.PortTaken = err.Error()
		} else {
			go echoPackets(socket)
			facts.Peers = askPeers(port)
		}
	}
	text, _ := json.Marshal(facts)
	fmt.Println(string(text))
	select {}
}

// patience is how long a peer may take to answer, $PEER_SECONDS: nodes start at different times, and may have to fetch
// the image first.
func patience() time.Duration {
	seconds, err := strconv.Atoi(os.Getenv("PEER_SECONDS"))
	if err != nil {
		log.Fatalf("PEER_SECONDS: %v", err)
	}
	return time.Duration(seconds) * time.Second
}

// isPodLink tells the interfaces of pods by their names: Calico's, Cilium's, and those of other plugins.
func isPodLink(name string) bool {
	for _, prefix := range []string{"cali", "lxc", "veth"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// askPeers sends a packet to the UDP port of every peer, again and again until it is answered.
func askPeers(port string) []peerResult {
	var peers []struct{ Node, IP string }
	if err := json.Unmarshal([]byte(os.Getenv("PEERS")), &peers); err != nil {
		log.Fatalf("PEERS: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience())
	defer cancel()
	results := make([]peerResult, len(peers))
	var asking sync.WaitGroup
	for i, p := range peers {
		asking.Add(1)
		go func() {
			defer asking.Done()
			results[i] = peerResult{Node: p.Node}
			for {
				err := echoUDP(ctx, net.JoinHostPort(p.IP, port), time.Second)
				if err == nil {
					return
				}
				// Refused: the other one is not there yet, or cannot listen.
				pause(ctx, 300*time.Millisecond)
				if ctx.Err() != nil {
					results[i].Error = err.Error()
					return
				}
			}
		}()
	}
	asking.Wait()
	return results
}

// routes reads the main table (Linux: /proc/net/route has addresses as hexadecimal numbers in host order).
func routes() []string {
	text, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil
	}
	found := []string{}
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
		found = append(found, fmt.Sprintf("%s/%d dev %s", to, ones, words[0]))
	}
	sort.Strings(found)
	return found
}

func hexAddress(text string) (net.IP, error) {
	number, err := strconv.ParseUint(text, 16, 32)
	return net.IPv4(byte(number), byte(number>>8), byte(number>>16), byte(number>>24)).To4(), err
}

// plugins names the plugins of a CNI file.
func plugins(file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return []string{}
	}
	var conf struct {
		Type    string `json:"type"`
		Plugins []struct {
			Type string `json:"type"`
		} `json:"plugins"`
	}
	if json.Unmarshal(text, &conf) != nil {
		return []string{}
	}
	names := []string{}
	if conf.Type != "" {
		names = append(names, conf.Type)
	}
	for _, plugin := range conf.Plugins {
		names = append(names, plugin.Type)
	}
	return names
}
