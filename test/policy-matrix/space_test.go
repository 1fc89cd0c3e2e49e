package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

const patience = 400 * time.Millisecond

func here(t *testing.T) *space {
	t.Helper()
	s, err := enter(os.Getpid())
	if err != nil {
		t.Skip("needs the right to enter a network namespace: ", err)
	}
	return s
}

func loopback(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
}

// until tries for as long as a listener may take to begin.
func until(try func() bool) bool {
	for range 20 {
		if try() {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func TestServersAnswer(t *testing.T) {
	s := here(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go s.listenTCP(ctx, 47_001)
	go s.listenUDP(ctx, 47_002)
	if !until(func() bool { return s.dial(loopback(47_001), patience, false) }) {
		t.Error("no connection")
	}
	if !s.dial(loopback(47_001), patience, true) {
		t.Error("no data")
	}
	if !until(func() bool { return s.echo(loopback(47_002), patience) }) {
		t.Error("no echo")
	}
	if s.dial(loopback(47_003), patience, false) || s.echo(loopback(47_003), patience) {
		t.Error("an answer from nobody")
	}
}

func TestOpenConnectionWithoutDataIsNone(t *testing.T) {
	s := here(t)
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	to := loopback(silent.Addr().(*net.TCPAddr).Port)
	if !s.dial(to, patience, false) {
		t.Error("the kernel did not open a connection")
	}
	if s.dial(to, patience, true) {
		t.Error("data from a server that says nothing")
	}
}

func TestAnswerToAnotherSampleIsNone(t *testing.T) {
	s := here(t)
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	// As an answer that comes late: words that this sample did not say.
	go func() {
		for buffer := make([]byte, 64); ; {
			_, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = server.WriteTo([]byte("earlier"), from)
		}
	}()
	if s.echo(loopback(server.LocalAddr().(*net.UDPAddr).Port), patience) {
		t.Error("took it for its own")
	}
}
