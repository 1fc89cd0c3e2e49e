// coexistence keeps two pod networks together while nodes move from one to the other.
//
//	coexistence identities      gives every pod that is not on Cilium yet a CiliumEndpoint with its identity, so that
//	                            Cilium judges its packets by its labels; two of them run in a cluster
//	coexistence nat             keeps traffic between the two pod networks of its node free of address translation
//	coexistence nat --remove    takes that away again, and stays
//	coexistence ready           ends with code 0 once the one that runs in the same container does its work
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var err error
	switch strings.Join(os.Args[1:], " ") {
	case "identities":
		err = runIdentities(ctx)
	case "nat":
		err = keepExempt(ctx)
	case "nat --remove":
		err = removeExemption(ctx)
	case "ready":
		_, err = os.Stat(readyFile())
	default:
		slog.Error("usage: coexistence identities | nat [--remove] | ready")
		os.Exit(2)
	}
	if err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}

// readyFile is there once what runs does its work.
func readyFile() string { return valueOr("READY_FILE", "/tmp/ready") }

func isReady() error { return os.WriteFile(readyFile(), nil, 0o644) }

func valueOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
