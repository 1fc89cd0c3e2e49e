package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"
)

// The path to the API server is checked, not its identity: a probe holds no credentials to lose.
var insecure = &tls.Config{InsecureSkipVerify: true}

// spec is one check of $CHECKS, which is a JSON array.
type spec struct {
	Name string `json:"name"`
	// "http": GET target, a prober. "reach": any answer of the HTTP server at target. "udp": echo from target (IP:PORT).
	// "dns-udp", "dns-tcp": resolve target. "reverse": request a call of this pod by the prober at target (IP:PORT).
	Kind   string `json:"kind"`
	Target string `json:"target"`
	// The target must receive the request from this pod's address ($POD_IP), not from that of a node: kind "http" only.
	OwnSource bool `json:"ownSource,omitempty"`
}

// result of a check in the format of the termination message, which has at most 4096 bytes: errors are shortened.
type result struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Ms    int64  `json:"ms"`
	Error string `json:"error,omitempty"`
}

// check runs all checks in parallel and repeats each until it passes or $DEADLINE_SECONDS (20) have passed, because the
// paths of a new pod may take a moment to work. It returns the exit code.
func check(secret probeKey) int {
	var specs []spec
	if err := json.Unmarshal([]byte(os.Getenv("CHECKS")), &specs); err != nil {
		log.Printf("CHECKS: %v", err)
		return 2
	}
	deadline := 20 * time.Second
	if seconds, err := time.ParseDuration(os.Getenv("DEADLINE_SECONDS") + "s"); err == nil {
		deadline = seconds
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	results := inParallel(specs, func(s spec) result { return runUntilPassed(ctx, s, secret) })
	code := 0
	for _, r := range results {
		if !r.OK {
			code = 1
		}
	}
	message, _ := json.Marshal(results)
	fmt.Println(string(message))
	if err := os.WriteFile("/dev/termination-log", message, 0o644); err != nil {
		log.Print(err)
		return 2
	}
	return code
}

// runUntilPassed repeats a check until it passes or the context ends.
func runUntilPassed(ctx context.Context, s spec, secret probeKey) result {
	var start time.Time
	err := retry(ctx, 200*time.Millisecond, func() error {
		start = time.Now()
		return run(ctx, s, secret)
	})
	r := result{Name: s.Name, OK: err == nil, Ms: time.Since(start).Milliseconds()}
	if err != nil {
		r.Error = fmt.Sprintf("%.160s", err)
	}
	return r
}

// run runs a check once, with a timeout of 2 s.
func run(parent context.Context, s spec, secret probeKey) error {
	ctx, cancel := context.WithTimeout(parent, 2*time.Second)
	defer cancel()
	switch s.Kind {
	case "http":
		answer, err := getEcho(ctx, s.Target, secret)
		if err != nil || !s.OwnSource {
			return err
		}
		if answer.Source != os.Getenv("POD_IP") {
			return fmt.Errorf("the target received the request from %s instead of this pod's own address", answer.Source)
		}
		return nil
	case "reach":
		// Another server than a prober, which must not get the key.
		_, err := get(ctx, s.Target, "")
		var status statusError
		if errors.As(err, &status) {
			return nil
		}
		return err
	case "reverse":
		_, err := getEcho(ctx, "http://"+s.Target+"/dial?to="+os.Getenv("POD_IP"), secret)
		return err
	case "udp":
		return echoUDP(ctx, s.Target, 2*time.Second, secret)
	case "dns-udp", "dns-tcp":
		network := strings.TrimPrefix(s.Kind, "dns-")
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, server string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server)
		}}
		_, err := resolver.LookupHost(ctx, s.Target)
		return err
	default:
		return fmt.Errorf("unknown kind %q", s.Kind)
	}
}

// echoUDP sends one packet and waits for its echo.
func echoUDP(parent context.Context, target string, timeout time.Duration, secret probeKey) error {
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()
	connection, err := (&net.Dialer{}).DialContext(ctx, "udp", target)
	if err != nil {
		return err
	}
	defer connection.Close()
	deadline, _ := ctx.Deadline()
	_ = connection.SetDeadline(deadline)
	text := rand.Text()
	if _, err := connection.Write([]byte(string(secret) + text)); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := connection.Read(answer)
	if err == nil && string(answer[:n]) != text {
		return errors.New("the answer differs from the packet that was sent")
	}
	return err
}
