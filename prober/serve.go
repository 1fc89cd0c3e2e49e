package main

import (
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
	"time"
)

const (
	address = ":8080"
	// The largest body that /echo gives: enough to need many full-size packets.
	maxBytes = 1 << 20
)

// echo is what /echo answers: who answered, and from which address the request came.
type echo struct {
	Pod    string `json:"pod"`
	Source string `json:"source"`
}

// serveHTTP answers
//
//	GET /echo[?bytes=N]   who answered whom, and N bytes of filling
//	GET /dial?to=IP:PORT  asks IP:PORT's /echo, to check the way back: 200, or 502 with the reason
func serveHTTP() error {
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
	return http.ListenAndServe(address, mux)
}

func serveUDP() {
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		log.Fatal(err)
	}
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := socket.ReadFrom(buffer)
		if err == nil {
			_, _ = socket.WriteTo(buffer[:n], from)
		}
	}
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
