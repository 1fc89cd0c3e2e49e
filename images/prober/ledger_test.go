package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	start = time.UnixMilli(1_000_000)
	key   = pathKey{"pod-pod/small", "node2", "canal", "cilium"}
)

func at(ms int64) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func only(t *testing.T, results *ledger, now time.Time) record {
	t.Helper()
	records := results.nodeLedger("pod", now).Records
	if len(records) != 1 {
		t.Fatalf("%d records", len(records))
	}
	return records[0]
}

func TestLossDuration(t *testing.T) {
	results := newLedger()
	lost := errors.New("lost")
	for i, err := range []error{nil, lost, lost, lost, nil, nil, lost, nil} {
		results.add(key, outcome{at: at(int64(i) * 50), err: err, latency: time.Millisecond}, "")
	}
	r := only(t, results, at(400))
	if r.Sent != 8 || r.Lost != 4 || r.LostMs != 200 || r.MaxMs != 150 || len(r.Gaps) != 2 {
		t.Fatalf("%+v", r)
	}
	if r.Gaps[0] != (gap{start.UnixMilli() + 50, 150, 3}) {
		t.Fatalf("%+v", r.Gaps[0])
	}
}

func TestOpenGapCounts(t *testing.T) {
	results := newLedger()
	for ms := int64(0); ms <= 5000; ms += 50 {
		results.add(key, outcome{at: at(ms), err: errors.New("lost")}, "")
	}
	if r := only(t, results, at(5800)); r.LostMs != 5000 || r.MaxMs != 5000 || r.Gaps[0].Ms != 5000 || r.OpenMs == 0 {
		t.Fatalf("%+v", r)
	}
	results.add(key, outcome{at: at(5050)}, "")
	if r := only(t, results, at(9000)); r.LostMs != 5050 || r.OpenMs != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestPausesAreNotLosses(t *testing.T) {
	results := newLedger()
	lost := errors.New("lost")
	results.pauses.recordPause(at(100), at(400)) // a normal delay of a timer
	results.pauses.recordPause(at(1000), at(4000))
	results.pauses.recordPause(at(4500), at(6000))
	results.add(key, outcome{at: at(500), err: lost}, "")
	results.add(key, outcome{at: at(4200), err: lost}, "")
	if r := only(t, results, at(4300)); r.LostMs != 700 || r.Gaps[0].Ms != 700 {
		t.Fatalf("%+v", r)
	}
	results.add(key, outcome{at: at(5000)}, "")
	if r := only(t, results, at(5100)); r.LostMs != 1000 || r.MaxMs != 1000 || r.Lost != 2 || r.OpenMs != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestRemovedPeerEndsTheGap(t *testing.T) {
	results := newLedger()
	results.add(key, outcome{at: at(0), err: errors.New("lost")}, "")
	results.add(key, outcome{at: at(50), err: errors.New("lost")}, "")
	results.end(key)
	if r := only(t, results, at(60_000)); r.LostMs != 50 || r.OpenMs != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestAddressTranslationIsCounted(t *testing.T) {
	results := newLedger()
	results.add(key, outcome{at: at(0), source: "10.0.0.1"}, "10.244.1.2")
	results.add(key, outcome{at: at(50), source: "10.244.1.2"}, "10.244.1.2")
	if r := only(t, results, at(60)); r.Translated != 1 || r.TranslatedTo != "10.0.0.1" {
		t.Fatalf("%+v", r)
	}
}

func TestLedgerIsRestored(t *testing.T) {
	results := newLedger()
	results.add(key, outcome{at: at(0), err: errors.New("lost")}, "")
	results.add(key, outcome{at: at(1000), err: errors.New("lost")}, "")
	written, err := json.Marshal(results.nodeLedger("old", at(1000)))
	if err != nil {
		t.Fatal(err)
	}
	var p nodeLedger
	if err := json.Unmarshal(written, &p); err != nil {
		t.Fatal(err)
	}
	next := newLedger()
	next.add(key, outcome{at: at(2000), latency: time.Millisecond}, "")
	next.restore(p)
	if r := only(t, next, at(3000)); r.Sent != 3 || r.Lost != 2 || r.LostMs != 1000 || r.OpenMs != 0 || len(r.Gaps) != 1 {
		t.Fatalf("%+v", r)
	}
	if counts := next.nodeLedger("new", at(3000)).Latency[0].Counts; counts[latencyClass(time.Millisecond)] != 1 {
		t.Fatalf("%v", counts)
	}
}

func TestMetrics(t *testing.T) {
	results := newLedger()
	results.add(key, outcome{at: at(0), latency: time.Millisecond}, "")
	answer := httptest.NewRecorder()
	results.metrics(time.Now)(answer, nil)
	want := `cni_migration_probe_samples_total{path="pod-pod/small",peer="node2",from="canal",to="cilium"} 1`
	if !strings.Contains(answer.Body.String(), want) {
		t.Fatal(answer.Body.String())
	}
}

// Any host may request the metrics, and every copy of the ledger holds up samples.
func TestMetricsAreWrittenOncePerInterval(t *testing.T) {
	results, now := newLedger(), at(0)
	metrics := results.metrics(func() time.Time { return now })
	read := func() string {
		answer := httptest.NewRecorder()
		metrics(answer, nil)
		return answer.Body.String()
	}

	before := read()
	results.add(key, outcome{at: at(0), latency: time.Millisecond}, "")
	same := read()
	now = now.Add(metricsInterval)
	after := read()

	if same != before || after == before {
		t.Fatalf("%q, then %q, then %q", before, same, after)
	}
}

// The address of a pod that has ended may belong to a pod of a tenant, which answers anything.
func TestAddressesOfHostileAnswersAreNotRecorded(t *testing.T) {
	results := newLedger()
	results.add(key, outcome{at: at(0), source: "\x1b[2J# heading"}, "10.244.0.1")
	results.add(key, outcome{at: at(50), source: "10.244.0.1"}, "10.244.0.1")
	if r := only(t, results, at(100)); r.Translated != 1 || r.TranslatedTo != "an invalid address" {
		t.Fatalf("%+v", r)
	}
}

// Cancels like a prober that stops. A deadline would count the last sample as lost.
func canceledAfter(duration time.Duration) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(duration, cancel)
	return ctx
}

// startLines starts a server that closes connections while silent returns true, and returns its address.
func startLines(t *testing.T, silent func() bool) string {
	t.Helper()
	listener := listen(t)
	go newLineService(testKey).serve(silentListener{listener, silent})
	return listener.Addr().String()
}

// silentListener closes connections while silent returns true.
type silentListener struct {
	net.Listener
	silent func() bool
}

func (l silentListener) Accept() (net.Conn, error) {
	for {
		connection, err := l.Listener.Accept()
		if err != nil || !l.silent() {
			return connection, err
		}
		connection.Close()
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

func TestSamplesOfAServer(t *testing.T) {
	t.Setenv("POD_IP", "127.0.0.1")
	started := time.Now()
	silent := func() bool {
		since := time.Since(started)
		return since > 500*time.Millisecond && since < 1000*time.Millisecond
	}
	address := startLines(t, silent)
	results := newLedger()
	ctx := canceledAfter(2 * time.Second)
	path{key: key, sample: sampleLine(address, largeLine, testKey)}.run(ctx, 20*time.Millisecond, results)
	r := only(t, results, time.Now())
	if len(r.Gaps) != 1 || r.LostMs < 400 || r.LostMs > 700 || r.Translated != 0 {
		t.Fatalf("%+v", r)
	}
}

// brokenListener closes the first connection after a while.
type brokenListener struct {
	net.Listener
	once sync.Once
}

func (l *brokenListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err == nil {
		l.once.Do(func() { time.AfterFunc(400*time.Millisecond, func() { connection.Close() }) })
	}
	return connection, err
}

func TestResetOfALongLivedConnectionIsCounted(t *testing.T) {
	t.Setenv("POD_IP", "127.0.0.1")
	listener := listen(t)
	go newLineService(testKey).serve(&brokenListener{Listener: listener})
	results := newLedger()
	ctx := canceledAfter(1200 * time.Millisecond)
	path{key: key, stream: sampleStream("tcp", listener.Addr().String(), testKey)}.run(ctx, 20*time.Millisecond, results)
	if r := only(t, results, time.Now()); r.Resets != 1 || r.Sent < 30 || r.Lost > 3 {
		t.Fatalf("%+v", r)
	}
}

func TestUDPSamples(t *testing.T) {
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	go func() {
		buffer := make([]byte, 100)
		for number := 0; ; number++ {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			// Every tenth packet is lost.
			if rest, ok := testKey.strip(buffer[:n]); ok && number%10 != 9 {
				_, _ = socket.WriteTo(rest, from)
			}
		}
	}()
	results := newLedger()
	ctx := canceledAfter(1200 * time.Millisecond)
	path{key: key, stream: sampleStream("udp", socket.LocalAddr().String(), testKey)}.run(ctx, 20*time.Millisecond, results)
	r := only(t, results, time.Now())
	if r.Lost < 4 || r.Lost > 7 || r.MaxMs > 60 {
		t.Fatalf("%+v", r)
	}
}

func TestForbiddenAnswerIsAGap(t *testing.T) {
	address := startLines(t, func() bool { return false })
	if o := sampleDenied(address, testKey)(context.Background()); o.err == nil {
		t.Fatal("an answer was counted as a denial")
	}
	// A connection without an answer, and a refused connection.
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	silent := listener.Addr().String()
	if o := sampleDenied(silent, testKey)(context.Background()); o.err != nil {
		t.Fatal(o.err)
	}
	listener.Close()
	if o := sampleDenied(silent, testKey)(context.Background()); o.err != nil {
		t.Fatal(o.err)
	}
}

func TestLatencyClassesCoverTheTimeout(t *testing.T) {
	if last := latencyBound(latencyClasses - 1); last < float64(sampleTimeout/time.Millisecond) {
		t.Fatalf("the last class ends at %.0f ms", last)
	}
	for _, ms := range []float64{0.05, 0.1, 1, 10, 900, 5000} {
		class := latencyClass(time.Duration(ms * float64(time.Millisecond)))
		if class > 0 && class < latencyClasses-1 && (latencyBound(class) < ms || latencyBound(class-1) > ms) {
			t.Fatal(fmt.Sprintf("%.2f ms is in class %d", ms, class))
		}
	}
}
