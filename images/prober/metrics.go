package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Time for which the text of /metrics is reused. Samples wait while the ledger is copied, and any host may request it.
const metricsInterval = time.Second

// metrics serves the ledger in Prometheus' text format.
func (l *ledger) metrics(now func() time.Time) http.HandlerFunc {
	var mutex sync.Mutex
	var written time.Time
	var text []byte
	current := func() []byte {
		mutex.Lock()
		defer mutex.Unlock()
		if text == nil || now().Sub(written) >= metricsInterval {
			var buffer bytes.Buffer
			l.writeMetrics(&buffer, now())
			text, written = buffer.Bytes(), now()
		}
		return text
	}
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(current()) }
}

func (l *ledger) writeMetrics(w io.Writer, now time.Time) {
	p := l.nodeLedger("", now)
	counters := []struct {
		name, help string
		value      func(record) float64
	}{
		{"samples_total", "Samples sent.", func(r record) float64 { return float64(r.Sent) }},
		{"lost_samples_total", "Samples without an answer.", func(r record) float64 { return float64(r.Lost) }},
		{"lost_seconds_total", "Time without an answer.", func(r record) float64 { return float64(r.LostMs) / 1000 }},
		{"resets_total", "Long-lived connections that broke.", func(r record) float64 { return float64(r.Resets) }},
		{"translated_total", "Samples that arrived from another address than the pod's own.", func(r record) float64 { return float64(r.Translated) }},
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
