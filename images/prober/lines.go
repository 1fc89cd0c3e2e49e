package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// Number of bytes of a large line: more than one full-size packet in each direction.
	largeLine = 4000
	// Maximum number of connections of a port that have not shown the key yet, and of those that have.
	maxNewcomers   = 256
	maxConnections = 1024
	// Time in which a connection must show the key.
	newcomerTimeout = 5 * time.Second
	// Time after which connections of peers are closed that disappeared without closing them.
	idleTimeout = time.Minute
	// Pause after a connection could not be accepted, for example because there are too many open files.
	acceptDelay = 100 * time.Millisecond
)

// lineService answers each line that starts with the key with the source address of the connection and the rest of the line.
// It closes a connection at the first line without the key. This takes much less processor time than HTTP, at twenty samples
// per second on every path.
type lineService struct {
	secret probeKey
	// Connections that have not shown the key yet, and the number of those that have, with its maximum.
	newcomers      connectionPool
	admitted       atomic.Int32
	maxConnections int32
}

// serveLines answers lines on a TCP port in the background. host is the address that it listens on; "" for all.
func serveLines(host string, port int, secret probeKey) {
	go newLineService(secret).serve(mustListen(host, port))
}

func newLineService(secret probeKey) *lineService {
	return &lineService{secret: secret, newcomers: connectionPool{limit: maxNewcomers}, maxConnections: maxConnections}
}

// serve answers until the listener is closed.
func (s *lineService) serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			log.Print(err)
			time.Sleep(acceptDelay)
			continue
		}
		place := s.newcomers.add(connection)
		go func() {
			defer connection.Close()
			defer s.newcomers.remove(place)
			s.answer(connection, func() { s.newcomers.remove(place) })
		}()
	}
}

// answer answers the lines of a connection. It calls admit when the first one has shown the key.
func (s *lineService) answer(connection net.Conn, admit func()) {
	source, _, _ := net.SplitHostPort(connection.RemoteAddr().String())
	reader := bufio.NewReaderSize(connection, 2*largeLine)
	for lines, timeout := 0, newcomerTimeout; ; lines, timeout = lines+1, idleTimeout {
		_ = connection.SetDeadline(time.Now().Add(timeout))
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		rest, ok := s.secret.strip(line)
		if !ok {
			return
		}
		if lines == 0 {
			admit()
			defer s.admitted.Add(-1)
			if s.admitted.Add(1) > s.maxConnections {
				return
			}
		}
		if _, err := fmt.Fprintf(connection, "%s %s", source, rest); err != nil {
			return
		}
	}
}

// parseLine splits an answer of a lineService into the source address and the line.
func parseLine(line string) (source, rest string) {
	source, rest, _ = strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	return source, rest
}

// echoPackets answers each packet that starts with the key with its rest, until the socket is closed. A packet of the same
// port is not one of a prober, which sends from another: no server answers a server.
func echoPackets(socket *net.UDPConn, secret probeKey) {
	own := socket.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	buffer := make([]byte, 2*largeLine)
	for {
		n, from, err := socket.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || from.Port() == own {
			continue
		}
		if rest, ok := secret.strip(buffer[:n]); ok {
			_, _ = socket.WriteToUDPAddrPort(rest, from)
		}
	}
}
