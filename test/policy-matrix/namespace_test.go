package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

func ownNamespace(t *testing.T) *netns {
	t.Helper()
	s, err := enter(os.Getpid())
	if err != nil {
		t.Skip("needs the permission to enter a network namespace: ", err)
	}
	return s
}

func loopback(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
}

// eventually retries until try succeeds, for as long as a listener may take to start.
func eventually(try func() bool) bool {
	for range 20 {
		if try() {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func TestServersAnswer(t *testing.T) {
	s := ownNamespace(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go s.listenTCP(ctx, 47_001)
	go s.listenUDP(ctx, 47_002)
	if !eventually(func() bool { return s.dial(loopback(47_001), answerTimeout, false) }) {
		t.Error("no connection")
	}
	if !s.dial(loopback(47_001), answerTimeout, true) {
		t.Error("no data")
	}
	if !eventually(func() bool { return s.echo(loopback(47_002), answerTimeout) }) {
		t.Error("no echo")
	}
	if s.dial(loopback(47_003), answerTimeout, false) || s.echo(loopback(47_003), answerTimeout) {
		t.Error("an answer from a closed port")
	}
}

func TestConnectionWithoutDataIsNotAccepted(t *testing.T) {
	s := ownNamespace(t)
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	to := loopback(silent.Addr().(*net.TCPAddr).Port)
	if !s.dial(to, answerTimeout, false) {
		t.Error("the kernel did not open a connection")
	}
	if s.dial(to, answerTimeout, true) {
		t.Error("data from a server that sends none")
	}
}

func TestAnswerToAnotherSampleIsIgnored(t *testing.T) {
	s := ownNamespace(t)
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	// Answers with another payload, like a late answer to an earlier sample.
	go func() {
		for buffer := make([]byte, 64); ; {
			_, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = server.WriteTo([]byte("earlier"), from)
		}
	}()
	if s.echo(loopback(server.LocalAddr().(*net.UDPAddr).Port), answerTimeout) {
		t.Error("accepted the answer to another sample")
	}
}
