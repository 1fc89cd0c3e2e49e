package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"sort"
	"sync"
	"time"
)

// Maximum number of gaps of a path that are kept, the latest.
const maxGaps = 60

// Number of latency classes. Each upper bound is 1.5 times the previous one, from 0.1 ms to about 1.1 s.
const latencyClasses = 24

func latencyClass(latency time.Duration) int {
	ms := float64(latency) / float64(time.Millisecond)
	class := int(math.Ceil(math.Log(ms/0.1) / math.Log(1.5)))
	return max(0, min(latencyClasses-1, class))
}

// latencyBound returns the upper bound of a class, in ms.
func latencyBound(class int) float64 { return 0.1 * math.Pow(1.5, float64(class)) }

// pathKey identifies a path: its kind, the peer, and the networks of both ends.
type pathKey struct {
	Kind string `json:"kind"`
	Peer string `json:"peer,omitempty"`
	// Networks: "canal", "cilium", "host", or empty when unknown.
	From string `json:"from"`
	To   string `json:"to,omitempty"`
}

// gap is a period without an answer: from the first lost sample to the next answered one, without the pauses of the prober.
type gap struct {
	StartMs int64
	Ms      int64
	Lost    int64
}

func (g gap) MarshalJSON() ([]byte, error) {
	return json.Marshal([3]int64{g.StartMs, g.Ms, g.Lost})
}

func (g *gap) UnmarshalJSON(text []byte) error {
	var numbers [3]int64
	if err := json.Unmarshal(text, &numbers); err != nil {
		return err
	}
	g.StartMs, g.Ms, g.Lost = numbers[0], numbers[1], numbers[2]
	return nil
}

// record contains the results of one path.
type record struct {
	pathKey
	Sent int64 `json:"sent"`
	Lost int64 `json:"lost,omitempty"`
	// LostMs is the sum of all gaps.
	LostMs int64 `json:"lostMs,omitempty"`
	MaxMs  int64 `json:"maxMs,omitempty"`
	// Resets of a long-lived connection.
	Resets int64 `json:"resets,omitempty"`
	// Number of samples that the target received from another address than this pod's, and the last such address.
	Translated   int64  `json:"translated,omitempty"`
	TranslatedTo string `json:"translatedTo,omitempty"`
	// LastError is the error of the last lost sample.
	LastError string `json:"lastError,omitempty"`
	Gaps      []gap  `json:"gaps,omitempty"`
	// OpenMs is the start of the current gap (Unix, ms); 0 without one.
	OpenMs  int64 `json:"openMs,omitempty"`
	openFor int64
}

// ledger contains the results of one prober.
type ledger struct {
	mutex   sync.Mutex
	records map[pathKey]*record
	// Latencies of all paths of a kind between the same two networks.
	latencies map[pathKey][]int64
	pauses    pauses
}

func newLedger() *ledger {
	return &ledger{records: map[pathKey]*record{}, latencies: map[pathKey][]int64{}}
}

// outcome is the result of one sample.
type outcome struct {
	at      time.Time
	latency time.Duration
	err     error
	// Address of this pod as the target received it; empty when the target does not report it.
	source string
}

// end closes the current gap of a path that is no longer sampled.
func (l *ledger) end(key pathKey) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if r := l.recordFor(key); r.OpenMs != 0 {
		r.close(r.openFor)
	}
}

// add records a sample. The samples of a path must be added in the order in which they were sent.
func (l *ledger) add(key pathKey, o outcome, own string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	r := l.recordFor(key)
	r.Sent++
	at := o.at.UnixMilli()
	if o.err != nil {
		r.Lost++
		r.LastError = fmt.Sprintf("%.160s", o.err)
		if r.OpenMs == 0 {
			r.OpenMs = at
			r.Gaps = append(r.Gaps, gap{StartMs: at})
		}
		r.Gaps[len(r.Gaps)-1].Lost++
		r.openFor = l.gapMs(r, at)
		return
	}
	if r.OpenMs != 0 {
		r.close(l.gapMs(r, at))
	}
	if o.source != "" && o.source != own {
		r.Translated++
		r.TranslatedTo = o.source
		// Another pod may have got the address of the target, and may answer anything.
		if _, err := netip.ParseAddr(o.source); err != nil {
			r.TranslatedTo = "an invalid address"
		}
	}
	class := pathKey{Kind: key.Kind, From: key.From, To: key.To}
	if l.latencies[class] == nil {
		l.latencies[class] = make([]int64, latencyClasses)
	}
	l.latencies[class][latencyClass(o.latency)]++
}

func (l *ledger) reset(key pathKey) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.recordFor(key).Resets++
}

func (l *ledger) recordFor(key pathKey) *record {
	r := l.records[key]
	if r == nil {
		r = &record{pathKey: key}
		l.records[key] = r
	}
	return r
}

// gapMs returns the duration of the current gap of a path until atMs, in ms.
func (l *ledger) gapMs(r *record, atMs int64) int64 {
	return atMs - r.OpenMs - l.pauses.within(r.OpenMs, atMs)
}

// close ends the current gap with its duration in ms.
func (r *record) close(ms int64) {
	last := &r.Gaps[len(r.Gaps)-1]
	last.Ms = ms
	r.LostMs += last.Ms
	r.MaxMs = max(r.MaxMs, last.Ms)
	r.OpenMs, r.openFor = 0, 0
	if len(r.Gaps) > maxGaps {
		r.Gaps = r.Gaps[len(r.Gaps)-maxGaps:]
	}
}

// nodeLedger is the form in which a ledger is stored, under the role of its prober.
type nodeLedger struct {
	// Time of the write (Unix, ms).
	AtMs    int64           `json:"atMs"`
	Pod     string          `json:"pod"`
	Records []record        `json:"records"`
	Latency []latencyRecord `json:"latency"`
}

// latencyRecord counts the latencies of one kind of path by class.
type latencyRecord struct {
	pathKey
	Counts []int64 `json:"counts"`
}

func (l *ledger) nodeLedger(pod string, now time.Time) nodeLedger {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	p := nodeLedger{AtMs: now.UnixMilli(), Pod: pod}
	for _, r := range l.records {
		copied := *r
		copied.Gaps = append([]gap(nil), r.Gaps...)
		if n := len(copied.Gaps); copied.OpenMs != 0 {
			// The open gap counts until its last lost sample, because later samples may still be answered.
			open := r.openFor
			copied.Gaps[n-1].Ms = open
			copied.LostMs += open
			copied.MaxMs = max(copied.MaxMs, open)
		}
		p.Records = append(p.Records, copied)
	}
	sort.Slice(p.Records, func(a, b int) bool { return p.Records[a].text() < p.Records[b].text() })
	for key, counts := range l.latencies {
		p.Latency = append(p.Latency, latencyRecord{key, append([]int64(nil), counts...)})
	}
	sort.Slice(p.Latency, func(a, b int) bool { return p.Latency[a].text() < p.Latency[b].text() })
	return p
}

// restore adds the results that an earlier prober of this node and role has stored.
func (l *ledger) restore(p nodeLedger) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, old := range p.Records {
		r := l.recordFor(old.pathKey)
		r.Sent += old.Sent
		r.Lost += old.Lost
		// A gap that was open counts until the last write: its end was not measured.
		r.LostMs += old.LostMs
		r.MaxMs = max(r.MaxMs, old.MaxMs)
		r.Resets += old.Resets
		r.Translated += old.Translated
		if r.TranslatedTo == "" {
			r.TranslatedTo = old.TranslatedTo
		}
		if r.LastError == "" {
			r.LastError = old.LastError
		}
		r.Gaps = append(old.Gaps, r.Gaps...)
	}
	for _, old := range p.Latency {
		if len(old.Counts) != latencyClasses {
			continue
		}
		counts := l.latencies[old.pathKey]
		if counts == nil {
			counts = make([]int64, latencyClasses)
			l.latencies[old.pathKey] = counts
		}
		for class, count := range old.Counts {
			counts[class] += count
		}
	}
}

func (k pathKey) text() string { return k.Kind + "\x00" + k.Peer + "\x00" + k.From + "\x00" + k.To }
