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
	"time"
)

// sampleStream samples over one long-lived TCP or UDP connection, as a database client uses it, and reconnects when it
// breaks. Each reset is counted, and samples without an answer are lost.
func sampleStream(network, address string, secret probeKey) func(context.Context, time.Duration, *ledger, pathKey) {
	return func(ctx context.Context, every time.Duration, results *ledger, key pathKey) {
		opened := false
		for ctx.Err() == nil {
			start := time.Now()
			short, cancel := context.WithTimeout(ctx, sampleTimeout)
			connection, err := (&net.Dialer{}).DialContext(short, network, address)
			cancel()
			if err != nil {
				if ctx.Err() == nil {
					results.add(key, outcome{at: start, err: err}, "")
				}
				pause(ctx, every)
				continue
			}
			if opened && network == "tcp" {
				results.reset(key)
			}
			opened = true
			sampleConnection(ctx, connection, network, every, results, key, secret)
			connection.Close()
		}
	}
}

// sampleConnection sends lines of the key and a number, and matches the answers, until the connection breaks or the context
// ends.
func sampleConnection(ctx context.Context, connection net.Conn, network string, every time.Duration, results *ledger, path pathKey, secret probeKey) {
	own := os.Getenv("POD_IP")
	answers := make(chan [2]string, 64)
	broken := make(chan error, 1)
	go func() {
		reader := bufio.NewReader(connection)
		for {
			slice, err := reader.ReadSlice('\n')
			if err != nil {
				broken <- err
				return
			}
			line := string(slice)
			source, rest := "", strings.TrimSuffix(line, "\n")
			if network == "tcp" {
				source, rest = parseLine(line)
			}
			select {
			case answers <- [2]string{source, rest}:
			case <-ctx.Done():
				return
			}
		}
	}()
	type sent struct {
		number string
		at     time.Time
	}
	var waiting []sent
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for number := 0; ; {
		select {
		case <-ctx.Done():
			return
		case err := <-broken:
			// A UDP socket is reopened after "port unreachable", a TCP connection after a reset.
			for _, s := range waiting {
				results.add(path, outcome{at: s.at, err: err}, own)
			}
			pause(ctx, every)
			return
		case answer := <-answers:
			// Answers arrive in the order of the samples, unless UDP packets were lost.
			for i, s := range waiting {
				if s.number != answer[1] {
					continue
				}
				for _, lost := range waiting[:i] {
					results.add(path, outcome{at: lost.at, err: errors.New("no answer")}, own)
				}
				results.add(path, outcome{at: s.at, latency: time.Since(s.at), source: answer[0]}, own)
				waiting = waiting[i+1:]
				break
			}
		case now := <-ticks.C:
			for len(waiting) > 0 && now.Sub(waiting[0].at) > sampleTimeout {
				results.add(path, outcome{at: waiting[0].at, err: errors.New("no answer within 900 ms")}, own)
				waiting = waiting[1:]
			}
			number++
			text := fmt.Sprint(number)
			_ = connection.SetWriteDeadline(now.Add(sampleTimeout))
			if _, err := io.WriteString(connection, string(secret)+text+"\n"); err != nil && network == "tcp" {
				continue // the reader reports the error
			}
			waiting = append(waiting, sent{text, now})
		}
	}
}
