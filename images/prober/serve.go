package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// HTTP and UDP echo.
	port = 8080
	// The largest body that /echo gives: enough to need many full-size packets.
	maxBytes = 1 << 20
	// Bytes of a large line: more than one full-size packet each way.
	largeLine = 4000
)

// echo is what /echo answers: who answered, and from which address the request came.
type echo struct {
	Pod    string `json:"pod"`
	Source string `json:"source"`
}

// serve answers on TCP and UDP, in the background:
//
//	GET /echo[?bytes=N]   who answered whom, and N bytes of filling
//	GET /dial?to=IP:PORT  asks IP:PORT's /echo, to check the reverse direction: 200, or 502 with the reason
//	GET /metrics          the ledger, for Prometheus, where there is one
func serve(port int, metrics http.HandlerFunc) {
	host, _ := os.Hostname()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /echo", func(w http.ResponseWriter, r *http.Request) {
		source, _, _ := net.SplitHostPort(r.RemoteAddr)
		_ = json.NewEncoder(w).Encode(echo{Pod: host, Source: source})
		if n, err := strconv.Atoi(r.FormValue("bytes")); err == nil && n > 0 {
			_, _ = w.Write(bytes.Repeat([]byte{'x'}, min(n, maxBytes)))
		}
	})
	mux.HandleFunc("GET /dial", func(w http.ResponseWriter, r *http.Request) {
		// Only literal addresses: this is no open proxy to names inside or outside the cluster.
		host, port, err := net.SplitHostPort(r.FormValue("to"))
		if err != nil || net.ParseIP(host) == nil {
			http.Error(w, "to must be IP:PORT", http.StatusBadRequest)
			return
		}
		body, err := get(r.Context(), "http://"+net.JoinHostPort(host, port)+"/echo")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = w.Write(body)
	})
	if metrics != nil {
		mux.HandleFunc("GET /metrics", metrics)
	}
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(listener, mux)) }()
	socket, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
	if err != nil {
		log.Fatal(err)
	}
	go echoPackets(socket)
}

func echoPackets(socket net.PacketConn) {
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := socket.ReadFrom(buffer)
		if err == nil {
			_, _ = socket.WriteTo(buffer[:n], from)
		}
	}
}

// serveLines answers each line of a connection with the address that it came from and the line itself: much cheaper
// than HTTP, twenty times a second on every path.
func serveLines(port int) {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go answerLines(connection)
		}
	}()
}

func answerLines(connection net.Conn) {
	defer connection.Close()
	source, _, _ := net.SplitHostPort(connection.RemoteAddr().String())
	reader := bufio.NewReaderSize(connection, 2*largeLine)
	for {
		// A peer that is gone without a word must not be kept for ever.
		_ = connection.SetDeadline(time.Now().Add(time.Minute))
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(connection, "%s %s", source, line); err != nil {
			return
		}
	}
}

// parseLine splits an answer of serveLines.
func parseLine(line string) (source, rest string) {
	source, rest, _ = strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	return source, rest
}

// statusError is an answer other than 200: the server was reached all the same.
type statusError string

func (e statusError) Error() string { return string(e) }

var client = &http.Client{
	Timeout:   2 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: insecure},
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, statusError(fmt.Sprintf("status %d: %.120s", response.StatusCode, body))
	}
	return body, nil
}
