// prober measures the pod network from inside the cluster.
//
//	prober probe    answers samples, samples every path to its peers until it stops, and maintains the ledger
//	prober check    runs the checks in $CHECKS while it answers samples, writes the results to the pod's termination
//	                message, and exits with code 0 when every check passed
//	prober inspect  reads the configuration of a node's kernel and network, and sends packets to the other nodes' UDP port
//
// Results are stored in the pod's status, its log or a ConfigMap, so that reading them needs no network to the pod.
package main

import (
	"log"
	"os"
)

func main() {
	mode := ""
	if len(os.Args) == 2 {
		mode = os.Args[1]
	}
	switch mode {
	case "probe":
		probe()
	case "check":
		secret := readKey()
		serveHTTP("", port, endpoints{secret: secret, echo: true})
		os.Exit(check(secret))
	case "inspect":
		inspect()
	default:
		log.Fatal("usage: prober probe | check | inspect")
	}
}
