// app is the lab's sample application: a server that answers with its name and the client's address, and a client that sends
// requests continuously and records the results in a file on the node, which is independent of the pod and of its network.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const requestTimeout = time.Second

func main() {
	// A few requests per second: a second thread would cost more in wake-ups than it saves.
	runtime.GOMAXPROCS(1)
	if len(os.Args) == 2 && os.Args[1] == "client" {
		client()
		return
	}
	server()
}

func server() {
	host, _ := os.Hostname()
	handler := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s\n", host, r.RemoteAddr)
	}
	log.Fatal(http.ListenAndServe(":8080", http.HandlerFunc(handler)))
}

// second contains the results of one client for one target in about one second: a line of the ledger.
type second struct {
	Time   time.Time `json:"time"`
	Pod    string    `json:"pod"`
	Target string    `json:"target"`
	Sent   int       `json:"sent"`
	Failed int       `json:"failed"`
	// Error of the last failed request, and the stage that this request reached.
	Error string `json:"error,omitempty"`
	Stage string `json:"stage,omitempty"`
}

// client sends a request to every target of TARGETS ("name=url,name=url") every INTERVAL_MS (50), each over a new connection,
// and appends the results to LEDGER_DIR/<host name>.jsonl. After SIGTERM, requests in flight finish.
func client() {
	host, _ := os.Hostname()
	file, err := os.OpenFile(filepath.Join(os.Getenv("LEDGER_DIR"), host+".jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	interval := 50 * time.Millisecond
	if ms, err := strconv.Atoi(os.Getenv("INTERVAL_MS")); err == nil && ms > 0 {
		interval = time.Duration(ms) * time.Millisecond
	}
	stop := make(chan struct{})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() { <-signals; close(stop) }()

	go server()
	var writing sync.Mutex
	var running sync.WaitGroup
	for _, target := range strings.Split(os.Getenv("TARGETS"), ",") {
		name, url, found := strings.Cut(target, "=")
		if !found {
			log.Fatalf("TARGETS: %q is not name=url", target)
		}
		running.Add(1)
		go func() {
			defer running.Done()
			write := func(line second) {
				writing.Lock()
				defer writing.Unlock()
				if err := json.NewEncoder(file).Encode(line); err != nil {
					log.Print(err)
				}
			}
			call(host, name, url, interval, stop, write)
		}()
	}
	running.Wait()
}

func call(host, name, url string, interval time.Duration, stop <-chan struct{}, write func(second)) {
	// A new connection per request: a long-lived one would hide a network that denies new connections.
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	line := second{Time: time.Now(), Pod: host, Target: name}
	for {
		line.Sent++
		if stage, err := request(client, url); err != nil {
			line.Failed++
			line.Error, line.Stage = err.Error(), stage
		}
		done := false
		select {
		case <-stop:
			done = true
		case <-time.After(interval):
		}
		if done || time.Since(line.Time) >= time.Second {
			write(line)
			line = second{Time: time.Now(), Pod: host, Target: name}
		}
		if done {
			return
		}
	}
}

// request sends one request and returns the stage that it reached.
func request(client *http.Client, url string) (stage string, err error) {
	// Stored atomically: the client's goroutines may continue after its timeout.
	var reached atomic.Value
	reached.Store("started")
	trace := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) { reached.Store("looking up the name") },
		ConnectStart: func(_, address string) { reached.Store("connecting to " + address) },
		WroteRequest: func(httptrace.WroteRequestInfo) { reached.Store("waiting for the answer") },
	})
	get, err := http.NewRequestWithContext(trace, http.MethodGet, url, nil)
	if err != nil {
		return "started", err
	}
	response, err := client.Do(get)
	if err == nil {
		response.Body.Close()
	}
	return reached.Load().(string), err
}
