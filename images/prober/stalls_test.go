package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A process of its own, so that it can be stopped: the machine that has no processor for it.
func TestAStoppedProberKnowsThatItDidNotRun(t *testing.T) {
	if os.Getenv("STALLS_CHILD") != "" {
		var s stalls
		ctx, cancel := context.WithCancel(context.Background())
		go s.watch(ctx)
		begin := time.Now()
		fmt.Println("runs")
		_, _ = os.Stdin.Read(make([]byte, 1))
		time.Sleep(2 * lookEvery)
		cancel()
		fmt.Println(s.within(begin.UnixMilli(), time.Now().UnixMilli()))
		os.Exit(0)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "STALLS_CHILD=1")
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	input, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	lines.Scan() // it runs
	time.Sleep(3 * lookEvery)
	const stopped = 2 * time.Second
	_ = child.Process.Signal(syscall.SIGSTOP)
	time.Sleep(stopped)
	_ = child.Process.Signal(syscall.SIGCONT)
	_ = input.Close()
	lines.Scan()
	stalled, err := strconv.Atoi(lines.Text())
	if err != nil || stalled < int((stopped-2*lookEvery)/time.Millisecond) {
		t.Fatalf("%d ms, %v", stalled, err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
}
