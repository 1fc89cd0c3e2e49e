package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

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
