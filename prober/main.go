// prober tells whether the network works, from inside a pod.
//
//	prober serve   answers on TCP and UDP port 8080, for as long as the pod lives
//	prober check   runs the checks in $CHECKS while it also serves, writes the outcome to the pod's termination
//	               message, and ends with code 0 when every check passed
//
// The outcome travels in the pod's status, so that reading it needs no network to the pod.
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
	case "serve":
		go serveUDP()
		log.Fatal(serveHTTP())
	case "check":
		go serveUDP()
		go func() { log.Fatal(serveHTTP()) }()
		os.Exit(check())
	default:
		log.Fatal("usage: prober serve | check")
	}
}
