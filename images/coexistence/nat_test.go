package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The exemption stays in the kernel when its process ends, is restored by the next one, and is removed by `nat --remove` only.
func TestExemptionStaysWhenItsProcessEnds(t *testing.T) {
	isolateNetwork(t)
	file := filepath.Join(t.TempDir(), "ready")
	t.Setenv("READY_FILE", file)
	t.Setenv("SOURCE_CIDR", "10.244.0.0/16")
	t.Setenv("TARGET_CIDR", "10.245.0.0/16")
	runUntilReady := func(command func(context.Context) error) {
		must(t, markNotReady())
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for checkReady(time.Now()) != nil && t.Context().Err() == nil {
				time.Sleep(10 * time.Millisecond)
			}
			cancel()
		}()
		must(t, command(ctx))
	}

	runUntilReady(maintainExemption)
	if count := countTables(t); count != 1 {
		t.Fatalf("%d tables after the end of the process", count)
	}
	must(t, dropExemption())
	runUntilReady(maintainExemption)
	if count := countTables(t); count != 1 {
		t.Fatalf("%d tables after the next process", count)
	}
	runUntilReady(removeExemption)
	if count := countTables(t); count != 0 {
		t.Fatalf("%d tables after the removal", count)
	}
}

// isolateNetwork moves the test into a network namespace of its own. The goroutine keeps its thread, which ends with it: no
// other test runs in the namespace.
func isolateNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		if os.Geteuid() == 0 {
			t.Fatal(err)
		}
		t.Skip("needs root: ", err)
	}
}

func countTables(t *testing.T) int {
	t.Helper()
	connection, err := nftables.New()
	must(t, err)
	tables, err := connection.ListTables()
	must(t, err)
	return len(tables)
}

func TestPairs(t *testing.T) {
	for _, test := range []struct {
		source, target string
		ok             bool
	}{
		{"10.244.0.0/16", "10.245.0.0/16", true},
		{"fd00:1::/64", "fd00:2::/64", true},
		{"10.244.0.0/16", "fd00:2::/64", false},
		{"10.244.0.0", "10.245.0.0/16", false},
	} {
		pairs, err := parsePairs(test.source, test.target)
		if (err == nil) != test.ok {
			t.Errorf("%s, %s: %v", test.source, test.target, err)
		}
		if err != nil {
			continue
		}
		if len(pairs) != 2 || pairs[0].from != pairs[1].to || pairs[0].to != pairs[1].from {
			t.Errorf("not both directions: %v", pairs)
		}
		for _, pair := range pairs {
			if load := pair.rule()[0].(*expr.Payload); int(load.Len) != pair.from.Addr().BitLen()/8 {
				t.Errorf("%s: compares %d bytes", pair, load.Len)
			}
		}
	}
}

func TestMask(t *testing.T) {
	pairs, err := parsePairs("10.244.0.0/14", "10.200.8.0/21")
	if err != nil {
		t.Fatal(err)
	}
	if got := mask(pairs[0].from); string(got) != "\xff\xfc\x00\x00" {
		t.Errorf("/14: %x", got)
	}
	if got := mask(pairs[0].to); string(got) != "\xff\xff\xf8\x00" {
		t.Errorf("/21: %x", got)
	}
}
