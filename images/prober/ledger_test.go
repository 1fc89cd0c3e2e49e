package main

import (
	"encoding/json"
	"errors"
	"fmt"
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

// The address of a pod that has ended may belong to a pod of a tenant, which answers anything.
func TestAddressesOfHostileAnswersAreNotRecorded(t *testing.T) {
	results := newLedger()
	results.add(key, outcome{at: at(0), source: "\x1b[2J# heading"}, "10.244.0.1")
	results.add(key, outcome{at: at(50), source: "10.244.0.1"}, "10.244.0.1")
	if r := only(t, results, at(100)); r.Translated != 1 || r.TranslatedTo != "an invalid address" {
		t.Fatalf("%+v", r)
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
