package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// startEcho answers packets on a port of 127.0.0.1, and returns its address.
func startEcho(t *testing.T) *net.UDPAddr {
	t.Helper()
	socket := bindUDP(t, "127.0.0.1", 0)
	go echoPackets(socket, testKey)
	return socket.LocalAddr().(*net.UDPAddr)
}

func bindUDP(t *testing.T, ip string, port int) *net.UDPConn {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket
}

// exchange sends packets in this order, and returns the first answer. The server answers in the order of the packets.
func exchange(t *testing.T, socket *net.UDPConn, server *net.UDPAddr, packets ...string) string {
	t.Helper()
	for _, packet := range packets {
		if _, err := socket.WriteTo([]byte(packet), server); err != nil {
			t.Fatal(err)
		}
	}
	_ = socket.SetReadDeadline(time.Now().Add(10 * time.Second))
	buffer := make([]byte, 100)
	n, _, err := socket.ReadFrom(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func TestPacketsWithoutTheKeyAreNotReflected(t *testing.T) {
	server := startEcho(t)
	got := exchange(t, bindUDP(t, "127.0.0.1", 0), server, "ping", "", string(testKey[:5]), "x"+string(testKey), string(testKey)+"last")
	if got != "last" {
		t.Errorf("answered %q", got)
	}
}

// One packet with the address of another prober as its source must not travel between the two indefinitely.
func TestServersDoNotAnswerEachOther(t *testing.T) {
	server := startEcho(t)
	// A server of the same port on another node.
	other := bindUDP(t, "127.0.0.2", server.Port)
	if _, err := other.WriteTo([]byte(string(testKey)+"x"), server); err != nil {
		t.Fatal(err)
	}
	// It has handled the packet above when it answers this one, which nests the key.
	answer := exchange(t, bindUDP(t, "127.0.0.1", 0), server, strings.Repeat(string(testKey), 2)+"y")
	_ = other.SetReadDeadline(time.Now())
	if n, _, err := other.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes were sent to a server", n)
	}
	if answer != string(testKey)+"y" {
		t.Errorf("answered %q: an answer must be shorter than its request", answer)
	}
}

func TestEchoUDPIgnoresOtherAnswers(t *testing.T) {
	server := startEcho(t)
	if err := echoUDP(t.Context(), server.String(), time.Second, testKey); err != nil {
		t.Error(err)
	}
	liar := bindUDP(t, "127.0.0.1", 0)
	go func() {
		_, from, err := liar.ReadFrom(make([]byte, 100))
		if err == nil {
			_, _ = liar.WriteTo([]byte("pong"), from)
		}
	}()
	if err := echoUDP(t.Context(), liar.LocalAddr().String(), time.Second, testKey); err == nil {
		t.Error("another answer was accepted")
	}
}

func TestLinesWithoutTheKeyAreNotAnswered(t *testing.T) {
	server := startLines(t, func() bool { return false })
	for _, line := range []string{"hello\n", "\n", string(testKey[1:]) + "\n", strings.Repeat("x", 3*largeLine)} {
		connection := connect(t, server)
		fmt.Fprint(connection, line)
		if answer, err := io.ReadAll(connection); len(answer) > 0 {
			t.Errorf("%.20q was answered with %q, %v", line, answer, err)
		}
	}
	connection := connect(t, server)
	fmt.Fprint(connection, string(testKey)+"1\n"+string(testKey)+"2\nhello\n")
	if answer, _ := io.ReadAll(connection); string(answer) != "127.0.0.1 1\n127.0.0.1 2\n" {
		t.Errorf("answered %q", answer)
	}
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
	return connection
}

func TestIdleConnectionsLockOutNoProber(t *testing.T) {
	server := startLines(t, func() bool { return false })
	held := connect(t, server)
	fmt.Fprint(held, string(testKey)+"1\n")
	reader := bufio.NewReader(held)
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	idle := make([]net.Conn, maxNewcomers+20)
	for i := range idle {
		idle[i] = connect(t, server)
	}

	sampled := sampleLine(server, 16, testKey)(withTimeout(t))

	if sampled.err != nil {
		t.Errorf("a prober is locked out: %v", sampled.err)
	}
	if _, err := idle[0].Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the oldest idle connection is still open: %v", err)
	}
	fmt.Fprint(held, string(testKey)+"2\n")
	if answer, err := reader.ReadString('\n'); err != nil || answer != "127.0.0.1 2\n" {
		t.Errorf("the connection of a prober was closed: %q, %v", answer, err)
	}
}

func withTimeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestConnectionsWithTheKeyAreLimited(t *testing.T) {
	service := newLineService(testKey)
	service.maxConnections = 2
	listener := listen(t)
	go service.serve(listener)
	answers := func() (net.Conn, bool) {
		connection := connect(t, listener.Addr().String())
		fmt.Fprint(connection, string(testKey)+"1\n")
		_, err := bufio.NewReader(connection).ReadString('\n')
		return connection, err == nil
	}
	first, ok := answers()
	_, secondOK := answers()
	if _, third := answers(); !ok || !secondOK || third {
		t.Fatalf("answered: %v, %v, %v", ok, secondOK, third)
	}
	first.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, ok := answers(); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a closed connection still counts")
		}
	}
}

// failingListener returns an error before each connection, as when there are too many open files.
type failingListener struct {
	net.Listener
	failed bool
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failed = !l.failed; l.failed {
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestAFailedAcceptEndsNoProber(t *testing.T) {
	listener := listen(t)
	go newLineService(testKey).serve(&failingListener{Listener: listener})
	if sampled := sampleLine(listener.Addr().String(), 16, testKey)(withTimeout(t)); sampled.err != nil {
		t.Error(sampled.err)
	}
}

func TestAnswersWithoutAnEndAreNotKept(t *testing.T) {
	listener := listen(t)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				for block := []byte(strings.Repeat("x", 1<<16)); err == nil; {
					_, err = connection.Write(block)
				}
			}()
		}
	}()
	if sampled := sampleLine(listener.Addr().String(), 16, testKey)(withTimeout(t)); !errors.Is(sampled.err, bufio.ErrBufferFull) {
		t.Errorf("error %v", sampled.err)
	}
}
