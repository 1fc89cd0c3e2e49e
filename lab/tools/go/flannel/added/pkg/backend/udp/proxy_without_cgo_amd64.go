//go:build !cgo && !windows

package udp

import (
	"net"
	"os"

	"github.com/flannel-io/flannel/pkg/ip"
	log "k8s.io/klog/v2"
)

// runCProxy ends Flannel: the proxy that carries packets over UDP is written in C, and was not built.
func runCProxy(*os.File, *net.UDPConn, *os.File, ip.IP4, int) {
	log.Fatal(`this Flannel is built without the backend "udp"; use another one, such as "vxlan"`)
}

// The rest sends commands to the proxy.

func setRoute(*os.File, ip.IP4Net, ip.IP4, int) {}

func removeRoute(*os.File, ip.IP4Net) {}

func stopProxy(*os.File) {}
