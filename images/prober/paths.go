package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Ports of a prober in the pod network, in addition to the one for HTTP and UDP. A NetworkPolicy allows all clients on all
// of them, except on two that show whether policy is enforced: allowedPort accepts only probers, deniedPort no client. A
// path that reaches the pod through another address has its own port: two connections from one source port of this pod, one
// to a service and one to the pod behind it, would be the same connection after the service's address is translated, and
// one of them would be lost.
const (
	linePort     = 8081
	allowedPort  = 8082
	deniedPort   = 8083
	servicePort  = 8084
	nodePortPort = 8085
	hostPortPort = 8086
)

// Time after which a sample without an answer is lost. Shorter than TCP's first retransmission (1 s, RFC 6298), after which
// a lost packet would be measured as a slow one.
const sampleTimeout = 900 * time.Millisecond

// path is a route to a peer, and the function that samples it.
type path struct {
	key pathKey
	// Address of the target. When it changes, sampling starts again, although the ledger continues the same path.
	target string
	// Interval between two samples; 0 for the default.
	every time.Duration
	// Sends one sample and waits for its answer.
	sample func(context.Context) outcome
	// Instead of sample: opens a connection and samples over it until the context ends.
	stream func(context.Context, time.Duration, *ledger, pathKey)
}

// dial opens a TCP connection that is closed by a reset. It then occupies no port and no connection tracking entry for a
// minute, which would accumulate at twenty samples per second on every path.
func dial(ctx context.Context, address string) (net.Conn, error) {
	connection, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	_ = connection.(*net.TCPConn).SetLinger(0)
	deadline, _ := ctx.Deadline()
	_ = connection.SetDeadline(deadline)
	return connection, nil
}

// sampleLine opens a connection, sends a line of size bytes, which starts with the key, and reads the rest back.
func sampleLine(address string, size int, secret probeKey) func(context.Context) outcome {
	text := strings.Repeat("x", size-len(secret)-1)
	line := string(secret) + text + "\n"
	return func(ctx context.Context) outcome {
		connection, err := dial(ctx, address)
		if err != nil {
			return outcome{err: err}
		}
		defer connection.Close()
		if _, err := io.WriteString(connection, line); err != nil {
			return outcome{err: err}
		}
		answer, err := bufio.NewReaderSize(connection, size+64).ReadSlice('\n')
		if err != nil {
			return outcome{err: err}
		}
		source, rest := parseLine(string(answer))
		if rest != text {
			return outcome{err: errors.New("the answer differs from the line that was sent")}
		}
		return outcome{source: source}
	}
}

// sampleConnect opens a connection and closes it.
func sampleConnect(address string) func(context.Context) outcome {
	return func(ctx context.Context) outcome {
		connection, err := dial(ctx, address)
		if err == nil {
			connection.Close()
		}
		return outcome{err: err}
	}
}

// sampleDenied samples a port that must not answer. An answer counts as a lost sample, so that a gap is a time without
// policy enforcement. Only returned data is an answer: on machines without processor time, about one in a thousand first
// packets of a connection (SYN) from another node passed Cilium 1.20.2 without a verdict, but every later packet of these
// connections was dropped, so that none of them was ever open at the target.
func sampleDenied(address string, secret probeKey) func(context.Context) outcome {
	answered := sampleLine(address, 16, secret)
	return func(ctx context.Context) outcome {
		// A dropped packet never gets an answer; an allowed one is answered immediately.
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if answered(short).err != nil {
			return outcome{}
		}
		return outcome{err: errors.New("was answered, although a NetworkPolicy denies it")}
	}
}

// dnsQuery resolves a name with a single packet, because a resolver would retry and hide a loss.
func dnsQuery(network, server, name string) func(context.Context) outcome {
	return func(ctx context.Context) outcome {
		connection, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, net.JoinHostPort(server, "53"))
		if err != nil {
			return outcome{err: err}
		}
		defer connection.Close()
		if stream, ok := connection.(*net.TCPConn); ok {
			_ = stream.SetLinger(0)
		}
		deadline, _ := ctx.Deadline()
		_ = connection.SetDeadline(deadline)
		query := make([]byte, 12, 64)
		_, _ = rand.Read(query[:2])
		query[2], query[5] = 1, 1 // recursion desired, one question
		for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
			query = append(append(query, byte(len(label))), label...)
		}
		query = append(query, 0, 0, 1, 0, 1) // type A, class IN
		message := query
		if network == "tcp" {
			message = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
		}
		if _, err := connection.Write(message); err != nil {
			return outcome{err: err}
		}
		answer := make([]byte, 1500)
		n, err := connection.Read(answer)
		if err != nil {
			return outcome{err: err}
		}
		answer = answer[:n]
		if network == "tcp" && len(answer) > 2 {
			answer = answer[2:]
		}
		if len(answer) < 12 || answer[0] != query[0] || answer[1] != query[1] {
			return outcome{err: errors.New("the answer belongs to another query")}
		}
		if code := answer[3] & 0xf; code != 0 {
			return outcome{err: fmt.Errorf("DNS answers with code %d", code)}
		}
		return outcome{}
	}
}

// apiServer requests /version, which the API server answers without etcd, unlike /readyz. Any answer counts, because the
// path is measured and not the server.
func apiServer() func(context.Context) outcome {
	url := "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")) + "/version"
	client := &http.Client{
		CheckRedirect: noRedirects,
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	return func(ctx context.Context) outcome {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return outcome{err: err}
		}
		response, err := client.Do(request)
		if err != nil {
			return outcome{err: err}
		}
		response.Body.Close()
		return outcome{}
	}
}

func pause(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}

// run samples a path until the context ends. Samples overlap: a late one does not delay the next, so that the length of a
// gap is measured with the precision of one interval.
func (p path) run(ctx context.Context, every time.Duration, results *ledger) {
	defer results.end(p.key)
	if p.every != 0 {
		every = max(every, p.every)
	}
	if p.stream != nil {
		p.stream(ctx, every, results, p.key)
		return
	}
	own := os.Getenv("POD_IP")
	// Results in the order of their samples. The capacity is the maximum number of samples without a result.
	queue := make(chan chan outcome, int(sampleTimeout/every)+2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for result := range queue {
			if o := <-result; ctx.Err() == nil {
				results.add(p.key, o, own)
			}
		}
	}()
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			close(queue)
			<-done
			return
		case at := <-ticks.C:
			result := make(chan outcome, 1)
			go func() {
				short, cancel := context.WithTimeout(ctx, sampleTimeout)
				defer cancel()
				o := p.sample(short)
				o.at, o.latency = at, time.Since(at)
				result <- o
			}()
			queue <- result
		}
	}
}
