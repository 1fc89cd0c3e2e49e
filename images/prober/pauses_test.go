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

// A separate process, which can be stopped like one that gets no processor time.
func TestPauseOfAStoppedProberIsRecorded(t *testing.T) {
	if os.Getenv("PAUSES_CHILD") != "" {
		var s pauses
		ctx, cancel := context.WithCancel(context.Background())
		go s.watch(ctx)
		start := time.Now()
		fmt.Println("started")
		_, _ = os.Stdin.Read(make([]byte, 1))
		time.Sleep(2 * pauseCheckInterval)
		cancel()
		fmt.Println(s.within(start.UnixMilli(), time.Now().UnixMilli()))
		os.Exit(0)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "PAUSES_CHILD=1")
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
	lines.Scan() // the child has started
	time.Sleep(3 * pauseCheckInterval)
	const stopped = 2 * time.Second
	_ = child.Process.Signal(syscall.SIGSTOP)
	time.Sleep(stopped)
	_ = child.Process.Signal(syscall.SIGCONT)
	_ = input.Close()
	lines.Scan()
	pausedMs, err := strconv.Atoi(lines.Text())
	if err != nil || pausedMs < int((stopped-2*pauseCheckInterval)/time.Millisecond) {
		t.Fatalf("%d ms, %v", pausedMs, err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
}
