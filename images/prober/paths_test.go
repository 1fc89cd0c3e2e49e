package main

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Cancels like a prober that stops. A deadline would count the last sample as lost.
func canceledAfter(duration time.Duration) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(duration, cancel)
	return ctx
}

// startLines starts a server that closes connections while silent returns true, and returns its address.
func startLines(t *testing.T, silent func() bool) string {
	t.Helper()
	listener := listen(t)
	go newLineService(testKey).serve(silentListener{listener, silent})
	return listener.Addr().String()
}

// silentListener closes connections while silent returns true.
type silentListener struct {
	net.Listener
	silent func() bool
}

func (l silentListener) Accept() (net.Conn, error) {
	for {
		connection, err := l.Listener.Accept()
		if err != nil || !l.silent() {
			return connection, err
		}
		connection.Close()
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

func TestSamplesOfAServer(t *testing.T) {
	t.Setenv("POD_IP", "127.0.0.1")
	started := time.Now()
	silent := func() bool {
		since := time.Since(started)
		return since > 500*time.Millisecond && since < 1000*time.Millisecond
	}
	address := startLines(t, silent)
	results := newLedger()
	ctx := canceledAfter(2 * time.Second)
	path{key: key, sample: sampleLine(address, largeLine, testKey)}.run(ctx, 20*time.Millisecond, results)
	r := only(t, results, time.Now())
	if len(r.Gaps) != 1 || r.LostMs < 400 || r.LostMs > 700 || r.Translated != 0 {
		t.Fatalf("%+v", r)
	}
}

// brokenListener closes the first connection after a while.
type brokenListener struct {
	net.Listener
	once sync.Once
}

func (l *brokenListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err == nil {
		l.once.Do(func() { time.AfterFunc(400*time.Millisecond, func() { connection.Close() }) })
	}
	return connection, err
}

func TestResetOfALongLivedConnectionIsCounted(t *testing.T) {
	t.Setenv("POD_IP", "127.0.0.1")
	listener := listen(t)
	go newLineService(testKey).serve(&brokenListener{Listener: listener})
	results := newLedger()
	ctx := canceledAfter(1200 * time.Millisecond)
	path{key: key, stream: sampleStream("tcp", listener.Addr().String(), testKey)}.run(ctx, 20*time.Millisecond, results)
	if r := only(t, results, time.Now()); r.Resets != 1 || r.Sent < 30 || r.Lost > 3 {
		t.Fatalf("%+v", r)
	}
}

func TestUDPSamples(t *testing.T) {
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	go func() {
		buffer := make([]byte, 100)
		for number := 0; ; number++ {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			// Every tenth packet is lost.
			if rest, ok := testKey.strip(buffer[:n]); ok && number%10 != 9 {
				_, _ = socket.WriteTo(rest, from)
			}
		}
	}()
	results := newLedger()
	ctx := canceledAfter(1200 * time.Millisecond)
	path{key: key, stream: sampleStream("udp", socket.LocalAddr().String(), testKey)}.run(ctx, 20*time.Millisecond, results)
	r := only(t, results, time.Now())
	if r.Lost < 4 || r.Lost > 7 || r.MaxMs > 60 {
		t.Fatalf("%+v", r)
	}
}

func TestForbiddenAnswerIsAGap(t *testing.T) {
	address := startLines(t, func() bool { return false })
	if o := sampleDenied(address, testKey)(context.Background()); o.err == nil {
		t.Fatal("an answer was counted as a denial")
	}
	// A connection without an answer, and a refused connection.
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	silent := listener.Addr().String()
	if o := sampleDenied(silent, testKey)(context.Background()); o.err != nil {
		t.Fatal(o.err)
	}
	listener.Close()
	if o := sampleDenied(silent, testKey)(context.Background()); o.err != nil {
		t.Fatal(o.err)
	}
}
