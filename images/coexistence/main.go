// coexistence connects two pod networks while nodes migrate from one to the other.
//
//	coexistence identities      maintains a CiliumEndpoint with an identity for every pod that is not on Cilium yet, so
//	                            that Cilium evaluates policies on its packets by its labels; a cluster runs two replicas
//	coexistence nat             exempts traffic between the two pod networks of its node from address translation
//	coexistence nat --remove    removes that exemption, and keeps running
//	coexistence ready           exits with code 0 when the process of the same container is ready
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
		err = maintainExemption(ctx)
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

// readyFile returns the path of the file that exists when the process is ready.
func readyFile() string { return valueOr("READY_FILE", "/tmp/ready") }

// markReady creates the file that the readiness probe checks.
func markReady() error { return os.WriteFile(readyFile(), nil, 0o644) }

func valueOr(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
