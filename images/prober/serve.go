package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
)

const (
	// HTTP and UDP echo of the probers in the pod network.
	port = 8080
	// Maximum number of bytes that /echo returns: enough for many full-size packets.
	maxBytes = 1 << 20
	// Maximum number of open connections of the HTTP server.
	maxHTTPConnections = 64
	// Maximum number of bytes of an answer that is read.
	maxAnswer = maxBytes + 4096
)

// echo is the answer of /echo: the name of the pod that answered, and the source address of the request.
type echo struct {
	Pod    string `json:"pod"`
	Source string `json:"source"`
}

// endpoints are the resources that an HTTP server has in addition to /ready. Except /metrics, they require the key.
type endpoints struct {
	secret probeKey
	// True for /echo.
	echo bool
	// Returns true for an address that /dial may call, in addition to that of the caller; nil without /dial.
	dialable func(netip.Addr) bool
	// Port that /dial calls.
	dialPort int
	// Serves /metrics; nil without it.
	metrics http.HandlerFunc
}

// routes returns the handler of these resources:
//
//	GET /ready          status 204, for the kubelet
//	GET /echo?bytes=N   name of the pod and source address of the request, and N bytes of padding
//	GET /dial?to=IP     requests /echo of that address, to check the reverse direction: 200 with its answer, or 502 with the
//	                    reason. Only the caller and other probers in the pod network are called, at their port for HTTP.
//	GET /metrics        the ledger, for Prometheus
func (e endpoints) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if e.echo {
		mux.HandleFunc("GET /echo", e.secret.require(answerEcho))
	}
	if e.dialable != nil {
		mux.HandleFunc("GET /dial", e.secret.require(e.answerDial))
	}
	if e.metrics != nil {
		mux.HandleFunc("GET /metrics", e.metrics)
	}
	return mux
}

func answerEcho(w http.ResponseWriter, r *http.Request) {
	host, _ := os.Hostname()
	_ = json.NewEncoder(w).Encode(echo{Pod: host, Source: sourceAddress(r).String()})
	if n, err := strconv.Atoi(r.FormValue("bytes")); err == nil && n > 0 {
		_, _ = w.Write(bytes.Repeat([]byte{'x'}, min(n, maxBytes)))
	}
}

func (e endpoints) answerDial(w http.ResponseWriter, r *http.Request) {
	to, err := netip.ParseAddr(r.FormValue("to"))
	if err != nil {
		http.Error(w, "to must be an IP address", http.StatusBadRequest)
		return
	}
	if source := sourceAddress(r); to != source && !e.dialable(to) {
		http.Error(w, fmt.Sprintf("%s is neither the address %s of this request nor that of a prober", to, source), http.StatusForbidden)
		return
	}
	answer, err := getEcho(r.Context(), "http://"+address(to.String(), e.dialPort)+"/echo", e.secret)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// sourceAddress returns the address that a request came from.
func sourceAddress(r *http.Request) netip.Addr {
	source, _ := netip.ParseAddrPort(r.RemoteAddr)
	return source.Addr().Unmap()
}

// serveHTTP serves the resources in the background. host is the address that it listens on; "" for all.
func serveHTTP(host string, port int, e endpoints) {
	listener := mustListen(host, port)
	go func() { log.Fatal(newHTTPServer(e).Serve(limitConnections(listener))) }()
}

// mustListen listens on a TCP port. Where no interface has the address, because a router translates that of the node, it
// listens on all.
func mustListen(host string, port int) net.Listener {
	listener, err := net.Listen("tcp", address(host, port))
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		log.Printf("no interface has the address %s: listening on all", host)
		listener, err = net.Listen("tcp", address("", port))
	}
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func limitConnections(listener net.Listener) net.Listener {
	return pooledListener{listener, &connectionPool{limit: maxHTTPConnections}}
}

func newHTTPServer(e endpoints) *http.Server {
	server := &http.Server{
		Handler: e.routes(), MaxHeaderBytes: 4096,
		ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 5 * time.Second,
		// Any host can cause these, at any rate.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	return server
}

// serveUDP answers packets in the background.
func serveUDP(port int, secret probeKey) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		log.Fatal(err)
	}
	go echoPackets(socket, secret)
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// statusError is an answer other than 200, which shows that the server was reached.
type statusError string

func (e statusError) Error() string { return string(e) }

// noRedirects returns a redirection as the answer. A path to another server is not the one that is measured, and a server
// must not choose what this pod requests.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

var client = &http.Client{
	Timeout:       2 * time.Second,
	CheckRedirect: noRedirects,
	Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: insecure},
}

// get returns the body of an answer with status 200. It sends the key unless that is empty.
func get(ctx context.Context, url string, secret probeKey) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if secret != "" {
		request.Header.Set(keyHeader, string(secret))
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, statusError(fmt.Sprintf("status %d: %.120s", response.StatusCode, body))
	}
	return body, nil
}

// getEcho requests an echo and reads its first line.
func getEcho(ctx context.Context, url string, secret probeKey) (echo, error) {
	body, err := get(ctx, url, secret)
	if err != nil {
		return echo{}, err
	}
	var answer echo
	line, _, _ := bytes.Cut(body, []byte("\n"))
	if json.Unmarshal(line, &answer) != nil || answer.Source == "" {
		return echo{}, errors.New("the answer is not one of a prober")
	}
	return answer, nil
}
