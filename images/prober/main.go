// prober tells whether the network works, from inside.
//
//	prober probe    answers, samples every path to its peers for as long as it lives, and keeps the ledger
//	prober check    runs the checks in $CHECKS while it also answers, writes the outcome to the pod's termination
//	                message, and ends with code 0 when every check passed
//	prober inspect  reads what a node's kernel and network are like, and sends packets to the other nodes' UDP port
//
// Outcomes travel in the pod's status, its log or a ConfigMap, so that reading them needs no network to the pod.
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
		serve(port, nil)
		os.Exit(check())
	case "inspect":
		inspect()
	default:
		log.Fatal("usage: prober probe | check | inspect")
	}
}
