package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"
)

// So many gaps of a path are kept, the latest.
const maxGaps = 60

// Latencies are counted in classes, each half as wide again as the one before, from 0.1 ms to some 1.1 s.
const latencyClasses = 24

func latencyClass(latency time.Duration) int {
	ms := float64(latency) / float64(time.Millisecond)
	class := int(math.Ceil(math.Log(ms/0.1) / math.Log(1.5)))
	return max(0, min(latencyClasses-1, class))
}

// latencyBound is the upper end of a class, in ms.
func latencyBound(class int) float64 { return 0.1 * math.Pow(1.5, float64(class)) }

// pathKey names a path: what is done, to which peer, and in which network both ends are.
type pathKey struct {
	Kind string `json:"kind"`
	Peer string `json:"peer,omitempty"`
	// Networks: "canal", "cilium", "host", or empty where it is not known.
	From string `json:"from"`
	To   string `json:"to,omitempty"`
}

// gap is a time without an answer: from the first lost sample to the next answered one, less what the prober did not run of it.
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

// record is what was seen of one path.
type record struct {
	pathKey
	Sent int64 `json:"sent"`
	Lost int64 `json:"lost,omitempty"`
	// LostMs is the sum of all gaps.
	LostMs int64 `json:"lostMs,omitempty"`
	MaxMs  int64 `json:"maxMs,omitempty"`
	// Resets of a long-lived connection.
	Resets int64 `json:"resets,omitempty"`
	// Answers to samples that the other side saw under another address than this pod's, and the last such address.
	Translated   int64  `json:"translated,omitempty"`
	TranslatedTo string `json:"translatedTo,omitempty"`
	// LastError is of the last lost sample.
	LastError string `json:"lastError,omitempty"`
	Gaps      []gap  `json:"gaps,omitempty"`
	// OpenMs is when the current gap began (Unix, ms); 0 when there is none.
	OpenMs  int64 `json:"openMs,omitempty"`
	openFor int64
}

// ledger is what one prober keeps.
type ledger struct {
	mutex   sync.Mutex
	records map[pathKey]*record
	// Latencies of all paths of a kind between the same two networks.
	latencies map[pathKey][]int64
	stalls    stalls
}

func newLedger() *ledger {
	return &ledger{records: map[pathKey]*record{}, latencies: map[pathKey][]int64{}}
}

// outcome of one sample.
type outcome struct {
	at      time.Time
	latency time.Duration
	err     error
	// The address under which the other side saw this pod; empty where it does not tell.
	source string
}

// end is called when a path is sampled no more: what was lost until now is known, and nothing more is.
func (l *ledger) end(key pathKey) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if r := l.of(key); r.OpenMs != 0 {
		r.close(r.openFor)
	}
}

// add counts a sample; those of a path come in the order in which they were sent.
func (l *ledger) add(key pathKey, o outcome, own string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	r := l.of(key)
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
		r.openFor = l.lasted(r, at)
		return
	}
	if r.OpenMs != 0 {
		r.close(l.lasted(r, at))
	}
	if o.source != "" && o.source != own {
		r.Translated++
		r.TranslatedTo = o.source
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
	l.of(key).Resets++
}

func (l *ledger) of(key pathKey) *record {
	r := l.records[key]
	if r == nil {
		r = &record{pathKey: key}
		l.records[key] = r
	}
	return r
}

// lasted tells how long the current gap of a path has been until then, in ms.
func (l *ledger) lasted(r *record, atMs int64) int64 {
	return atMs - r.OpenMs - l.stalls.within(r.OpenMs, atMs)
}

// close ends the current gap, which was so long.
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

// page is how a ledger is written down, under the role of its prober.
type page struct {
	// When it was written (Unix, ms).
	AtMs    int64           `json:"atMs"`
	Pod     string          `json:"pod"`
	Records []record        `json:"records"`
	Latency []latencyRecord `json:"latency"`
}

// latencyRecord counts the latencies of a kind of path.
type latencyRecord struct {
	pathKey
	Counts []int64 `json:"counts"`
}

func (l *ledger) page(pod string, now time.Time) page {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	p := page{AtMs: now.UnixMilli(), Pod: pod}
	for _, r := range l.records {
		copied := *r
		copied.Gaps = append([]gap(nil), r.Gaps...)
		if n := len(copied.Gaps); copied.OpenMs != 0 {
			// It is not over, and counts as far as it is known: what was sent since may have been answered already.
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

// restore adds what an earlier prober of this node and role has written.
func (l *ledger) restore(p page) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, old := range p.Records {
		r := l.of(old.pathKey)
		r.Sent += old.Sent
		r.Lost += old.Lost
		// A gap that was open is counted until then: nobody was there to see how it ended.
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

// metrics answers with the ledger in Prometheus' text format.
func (l *ledger) metrics(w http.ResponseWriter, _ *http.Request) {
	p := l.page("", time.Now())
	counters := []struct {
		name, help string
		value      func(record) float64
	}{
		{"samples_total", "Samples sent.", func(r record) float64 { return float64(r.Sent) }},
		{"lost_samples_total", "Samples without an answer.", func(r record) float64 { return float64(r.Lost) }},
		{"lost_seconds_total", "Time without an answer.", func(r record) float64 { return float64(r.LostMs) / 1000 }},
		{"resets_total", "Long-lived connections that broke.", func(r record) float64 { return float64(r.Resets) }},
		{"translated_total", "Answers that another address than the pod's own came to.", func(r record) float64 { return float64(r.Translated) }},
	}
	for _, counter := range counters {
		fmt.Fprintf(w, "# HELP cni_migration_probe_%s %s\n# TYPE cni_migration_probe_%s counter\n", counter.name, counter.help, counter.name)
		for _, r := range p.Records {
			fmt.Fprintf(w, "cni_migration_probe_%s{%s} %g\n", counter.name, labels(r.pathKey), counter.value(r))
		}
	}
	const name = "cni_migration_probe_latency_seconds"
	fmt.Fprintf(w, "# HELP %s Time to an answer.\n# TYPE %s histogram\n", name, name)
	for _, latency := range p.Latency {
		sum := int64(0)
		for class, count := range latency.Counts {
			sum += count
			fmt.Fprintf(w, "%s_bucket{%s,le=\"%.5g\"} %d\n", name, labels(latency.pathKey), latencyBound(class)/1000, sum)
		}
		fmt.Fprintf(w, "%s_bucket{%s,le=\"+Inf\"} %d\n%s_count{%s} %d\n", name, labels(latency.pathKey), sum, name, labels(latency.pathKey), sum)
	}
}

func labels(k pathKey) string {
	return fmt.Sprintf("path=%q,peer=%q,from=%q,to=%q", k.Kind, strings.ToValidUTF8(k.Peer, ""), k.From, k.To)
}
