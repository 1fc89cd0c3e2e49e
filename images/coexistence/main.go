// coexistence connects two pod networks while nodes migrate from one to the other.
//
//	coexistence identities      maintains a CiliumEndpoint with an identity for every pod that is not on Cilium yet, so
//	                            that Cilium evaluates policies on its packets by its labels; a cluster runs two replicas
//	coexistence nat             exempts traffic between the two pod networks of its node from address translation
//	coexistence nat --remove    removes that exemption, and keeps running
//	coexistence clean-tables    removes the tables of nftables that Canal leaves on its node, and reports what is left over
//	coexistence ready           exits with code 0 when the process of the same container is ready, and, with READY_MAX_AGE,
//	                            has confirmed that within this time
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
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
	case "clean-tables":
		err = cleanTables(ctx)
	case "ready":
		err = checkReady(time.Now())
	default:
		slog.Error("usage: coexistence identities | nat [--remove] | clean-tables | ready")
		os.Exit(2)
	}
	if err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}

// readyFile returns the path of the file that exists when the process is ready.
func readyFile() string { return valueOr("READY_FILE", "/tmp/ready") }

// markReady creates the file that the probes check, or confirms it.
func markReady() error {
	return os.WriteFile(readyFile(), []byte(time.Now().Format(time.RFC3339)), 0o644)
}

// markNotReady removes the file that the probes check.
func markNotReady() error {
	if err := os.Remove(readyFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// checkReady returns an error unless the file exists, and is not older than READY_MAX_AGE: the process hangs otherwise.
func checkReady(now time.Time) error {
	file, err := os.Stat(readyFile())
	if err != nil {
		return err
	}
	text := os.Getenv("READY_MAX_AGE")
	if text == "" {
		return nil
	}
	maximum, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("READY_MAX_AGE: %w", err)
	}
	if age := now.Sub(file.ModTime()); age > maximum {
		return fmt.Errorf("the process has not confirmed for %s that it is ready", age.Round(time.Second))
	}
	return nil
}

func valueOr(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
