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

// Ports of a prober in the pod network beside the one for HTTP and UDP. A NetworkPolicy lets everybody to all of them,
// but for the two that tell whether it is enforced: to these probers alone, and nobody. What leads to a pod by another
// address has a port of its own: two connections from one port of this pod, one to a service and one to the pod behind
// it, would be the same connection once the service's address is translated, and one of them would be lost.
const (
	linePort     = 8081
	allowedPort  = 8082
	deniedPort   = 8083
	servicePort  = 8084
	nodePortPort = 8085
	hostPortPort = 8086
)

// A sample without an answer for so long is lost. Short of TCP's first retransmission (1 s, RFC 6298), which would make
// a lost packet look like a slow one.
const sampleTimeout = 900 * time.Millisecond

// path is one way to a peer, and how to sample it.
type path struct {
	key pathKey
	// Where it leads: an address that changes makes it another path to sample, although the ledger keeps it as the same.
	target string
	// The time between two samples; 0 for the default.
	every time.Duration
	// Sends one sample and waits for its answer.
	sample func(context.Context) outcome
	// Instead of sample: keeps a connection open and samples over it until the context ends.
	stream func(context.Context, time.Duration, *ledger, pathKey)
}

// dial opens a TCP connection that leaves nothing behind: closed by a reset once the answer is there, it keeps no port
// and no entry of connection tracking for a minute. At twenty samples a second on every path that would add up.
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

// oneLine opens a connection, sends a line of so many bytes and reads it back.
func oneLine(address string, size int) func(context.Context) outcome {
	line := strings.Repeat("x", size-1) + "\n"
	return func(ctx context.Context) outcome {
		connection, err := dial(ctx, address)
		if err != nil {
			return outcome{err: err}
		}
		defer connection.Close()
		if _, err := io.WriteString(connection, line); err != nil {
			return outcome{err: err}
		}
		answer, err := bufio.NewReaderSize(connection, size+64).ReadString('\n')
		if err != nil {
			return outcome{err: err}
		}
		source, rest := parseLine(answer)
		if len(rest) != size-1 {
			return outcome{err: errors.New("the answer is not what was sent")}
		}
		return outcome{source: source}
	}
}

// connects opens a connection and closes it again.
func connects(address string) func(context.Context) outcome {
	return func(ctx context.Context) outcome {
		connection, err := dial(ctx, address)
		if err == nil {
			connection.Close()
		}
		return outcome{err: err}
	}
}

// denied samples what must not be answered: an answer is what is "lost", so that a gap is a time without policy. Only data
// that comes back counts. On starved machines, about one in a thousand of the first packets of a connection (SYN) was seen
// to pass Cilium 1.20.2 without a verdict, from another node; every later packet of these connections was judged, and
// dropped, so that none of them was ever open at the other side.
func denied(address string) func(context.Context) outcome {
	answered := oneLine(address, 16)
	return func(ctx context.Context) outcome {
		// What is dropped is silent for ever; what is let through answers at once.
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if answered(short).err != nil {
			return outcome{}
		}
		return outcome{err: errors.New("was answered, although a NetworkPolicy forbids it")}
	}
}

// dnsQuery looks a name up with one packet of its own, so that no resolver hides what was lost.
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
			return outcome{err: errors.New("the answer is to another question")}
		}
		if code := answer[3] & 0xf; code != 0 {
			return outcome{err: fmt.Errorf("DNS answers with code %d", code)}
		}
		return outcome{}
	}
}

// apiServer asks for /version, which the API server knows by itself: /readyz would wait for etcd as well. Any answer will
// do, because the path is checked, not what it leads to.
func apiServer() func(context.Context) outcome {
	url := "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")) + "/version"
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
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

// run samples a path until the context ends. Samples overlap: one that is late does not delay the next, so that the
// length of a gap is known to one sample.
func (p path) run(ctx context.Context, every time.Duration, book *ledger) {
	defer book.end(p.key)
	if p.every != 0 {
		every = max(every, p.every)
	}
	if p.stream != nil {
		p.stream(ctx, every, book, p.key)
		return
	}
	own := os.Getenv("POD_IP")
	// In the order in which they were sent; as many as can be under way.
	queue := make(chan chan outcome, int(sampleTimeout/every)+2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for result := range queue {
			if o := <-result; ctx.Err() == nil {
				book.add(p.key, o, own)
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
