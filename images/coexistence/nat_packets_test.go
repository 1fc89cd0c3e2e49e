package main

import (
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	sourcePod = "10.244.1.5"
	targetPod = "10.245.1.5"
	nodeLink  = "192.0.2.1"
)

// The tables that masquerade in nftables at the usual priority: those of kube-proxy, Flannel and Felix (kubernetes
// pkg/proxy/nftables, flannel pkg/trafficmngr/nftables, felix/nftables).
var masqueradingTables = map[string]string{
	"kube-proxy": "nat-postrouting", "flannel-ipv4": "postrtg", "calico": "nat-POSTROUTING",
}

// With the back ends of nftables, the exemption keeps the address of a pod, too; what kube-proxy marks is left to it.
func TestExemptionPrecedesTheBackEndsOfNftables(t *testing.T) {
	isolateNetwork(t)
	receiver := connectNode(t)
	connection, err := nftables.New()
	must(t, err)
	for table, chain := range masqueradingTables {
		addMasquerading(connection, table, chain)
	}
	must(t, connection.Flush())
	pairs, err := parsePairs("10.244.0.0/16", "10.245.0.0/16")
	must(t, err)
	expectSource := func(when string, mark int, expected string) {
		t.Helper()
		if source := sendPacket(t, receiver, mark); source != expected {
			t.Errorf("%s: the packet arrives from %s instead of %s", when, source, expected)
		}
	}

	expectSource("without the exemption", 0, nodeLink)
	_, err = ensureExemption(pairs)
	must(t, err)
	expectSource("with the exemption", 0, sourcePod)
	expectSource("with the exemption and the mark of kube-proxy", kubeProxyMark, nodeLink)
	must(t, dropExemption())
	expectSource("after its removal", 0, nodeLink)
}

func addMasquerading(connection *nftables.Conn, table, chain string) {
	owner := connection.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: table})
	postrouting := connection.AddChain(&nftables.Chain{
		Name: chain, Table: owner, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting,
		Priority: nftables.ChainPriorityNATSource,
	})
	connection.AddRule(&nftables.Rule{Table: owner, Chain: postrouting, Exprs: []expr.Any{&expr.Masq{FullyRandom: true}}})
}

// connectNode connects the namespace of the test, a node with a pod of the source network, to another one with a pod of the
// target network. It returns the socket of the latter.
func connectNode(t *testing.T) net.PacketConn {
	t.Helper()
	namespace := make(chan string)
	connected := make(chan error)
	opened := make(chan net.PacketConn, 1)
	go func() {
		// Keeps its thread, and so the namespace until the socket is closed.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		namespace <- fmt.Sprintf("/proc/%d/task/%d/ns/net", unix.Getpid(), unix.Gettid())
		if err := <-connected; err != nil {
			t.Error(err)
		}
		if err := runIP("link set lo up", "address add "+targetPod+"/32 dev lo", "address add 192.0.2.2/24 dev peer",
			"link set peer up", "route add 10.244.0.0/16 via "+nodeLink); err != nil {
			t.Error(err)
		}
		socket, err := net.ListenPacket("udp4", targetPod+":9000")
		if err != nil {
			t.Error(err)
		}
		opened <- socket
	}()
	connected <- runIP("link set lo up", "link add uplink type veth peer name peer netns "+<-namespace,
		"address add "+nodeLink+"/24 dev uplink", "link set uplink up", "address add "+sourcePod+"/32 dev lo",
		"route add 10.245.0.0/16 via 192.0.2.2")
	socket := <-opened
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { socket.Close() })
	return socket
}

// sendPacket sends a packet from the pod of the source network, and returns the address from which it arrives.
func sendPacket(t *testing.T, receiver net.PacketConn, mark int) string {
	t.Helper()
	dialer := net.Dialer{
		LocalAddr: &net.UDPAddr{IP: net.ParseIP(sourcePod)},
		Control: func(_, _ string, socket syscall.RawConn) error {
			var failure error
			err := socket.Control(func(descriptor uintptr) {
				failure = unix.SetsockoptInt(int(descriptor), unix.SOL_SOCKET, unix.SO_MARK, mark)
			})
			if err != nil {
				return err
			}
			return failure
		},
	}
	sender, err := dialer.DialContext(t.Context(), "udp4", targetPod+":9000")
	must(t, err)
	defer sender.Close()
	_, err = sender.Write([]byte("packet"))
	must(t, err)
	must(t, receiver.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, from, err := receiver.ReadFrom(make([]byte, 100))
	must(t, err)
	return from.(*net.UDPAddr).IP.String()
}

// runIP runs commands of ip in the namespace of the calling thread.
func runIP(commands ...string) error {
	for _, command := range commands {
		if output, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, output)
		}
	}
	return nil
}
