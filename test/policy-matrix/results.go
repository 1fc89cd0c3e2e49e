package main

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// flow is one check between two endpoints.
type flow struct {
	check
	from, to *endpoint
	allowed  bool
}

// cell groups flows by the networks of their ends.
type cell struct {
	From string `json:"from"`
	To   string `json:"to"`
	Same bool   `json:"sameNode"`
}

type count struct {
	cell
	Flows   int     `json:"flows"`
	Samples int     `json:"samples"`
	Lost    int     `json:"lost"`
	Wrong   int     `json:"wrong"`
	WrongMs float64 `json:"wrongMs"`
	// Time in which flows of new pods had a wrong verdict because a network receives a pod's labels after the pod has
	// started: see needsLabels. It is not part of WrongMs.
	NewMs float64 `json:"newMs"`
}

// mistake is a period in which a flow had a wrong verdict.
type mistake struct {
	Check string  `json:"check"`
	From  string  `json:"from"`
	To    string  `json:"to"`
	Want  string  `json:"want"`
	At    string  `json:"at"`
	Ms    float64 `json:"ms"`
	// Age of the younger end at the start of the period, in ms.
	AgeMs float64 `json:"ageMs"`
}

// stageResults are the results of one stage.
type stageResults struct {
	Stage    string    `json:"stage"`
	Seconds  float64   `json:"seconds"`
	Counts   []*count  `json:"counts"`
	Mistakes []mistake `json:"mistakes"`
	// Number of flows without a wrong verdict, and of all flows.
	CorrectFlows int `json:"correctFlows"`
	AllFlows     int `json:"allFlows"`
	// Number of checks that had a flow.
	Checks int `json:"checks"`
}

// Age up to which a pod counts as new.
const newPodAge = 5 * time.Second

// Maximum age up to which a pod counts as new while its flow had no correct verdict yet, as when the agent that receives the
// pod's labels is restarting.
const maxNewPodAge = time.Minute

// Maximum number of mistakes that are listed.
const maxMistakes = 200

// results collects the verdicts of all flows in the current stage.
type results struct {
	mutex        sync.Mutex
	stageStart   time.Time
	counts       map[cell]*count
	flows        map[*flow]*record
	mistakes     []mistake
	wrongFlows   map[string]bool
	sampledFlows map[string]bool
	checkNames   map[string]bool
}

// record contains the verdicts of one flow.
type record struct {
	// Start of the current period with a wrong verdict; the zero time when the verdict is correct.
	wrongSince time.Time
	// True when one of the ends was new at that start.
	new bool
	// Time since which every sample was lost, so that the verdict is unknown.
	lostSince time.Time
	// True after the first correct verdict.
	wasCorrect bool
	// True when the flow existed at the last mark, and the number of verdicts since then.
	marked   bool
	verdicts int
}

func newResults() *results {
	r := &results{flows: map[*flow]*record{}}
	r.clear(time.Now())
	return r
}

func (r *results) clear(now time.Time) {
	r.stageStart, r.counts, r.mistakes = now, map[cell]*count{}, nil
	r.wrongFlows, r.sampledFlows, r.checkNames = map[string]bool{}, map[string]bool{}, map[string]bool{}
}

// startFlow adds a flow before its first sample.
func (r *results) startFlow(f *flow) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, end := range []*endpoint{f.from, f.to} {
		if end.firstFlow.IsZero() {
			end.firstFlow = time.Now()
		}
	}
	r.flows[f] = &record{}
}

// endFlow removes a flow after its last sample.
func (r *results) endFlow(f *flow) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.closePeriod(f, time.Now())
	delete(r.flows, f)
}

// outcome of one sample.
type outcome int

const (
	correct outcome = iota
	wrong
	lost
)

// add records the outcome of a sample that was sent at the given time.
func (r *results) add(f *flow, result outcome, at time.Time) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	c := r.countFor(f)
	c.Samples++
	name := f.text()
	if !r.sampledFlows[name] {
		r.sampledFlows[name] = true
		c.Flows++
	}
	r.checkNames[f.Name] = true
	flowRecord, exists := r.flows[f]
	if !exists {
		return
	}
	if result != lost {
		flowRecord.verdicts++
	}
	switch result {
	case wrong:
		flowRecord.lostSince = time.Time{}
		if flowRecord.wrongSince.IsZero() {
			age := at.Sub(f.youngerStart())
			flowRecord.wrongSince = at
			flowRecord.new = age < newPodAge || !flowRecord.wasCorrect && age < maxNewPodAge
		}
	case lost:
		c.Lost++
		if flowRecord.lostSince.IsZero() {
			flowRecord.lostSince = at
		}
	case correct:
		r.closePeriod(f, at)
		flowRecord.wasCorrect, flowRecord.lostSince = true, time.Time{}
	}
}

// youngerStart returns the start of the first flow of the younger end.
func (f *flow) youngerStart() time.Time {
	if f.to.firstFlow.After(f.from.firstFlow) {
		return f.to.firstFlow
	}
	return f.from.firstFlow
}

// closePeriod ends the period in which a flow had a wrong verdict, if there is one.
func (r *results) closePeriod(f *flow, now time.Time) {
	flowRecord := r.flows[f]
	if flowRecord == nil || flowRecord.wrongSince.IsZero() {
		return
	}
	since, until := flowRecord.wrongSince, now
	flowRecord.wrongSince = time.Time{}
	if !flowRecord.lostSince.IsZero() {
		until = flowRecord.lostSince
	}
	// A sample that was in flight when the stage ended was sent before it.
	ms := max(0, float64(until.Sub(since).Microseconds())/1000)
	if flowRecord.new && now.Sub(f.youngerStart()) < maxNewPodAge && f.needsLabels() {
		r.countFor(f).NewMs += ms
		return
	}
	r.countFor(f).Wrong++
	r.countFor(f).WrongMs += ms
	r.wrongFlows[f.text()] = true
	if len(r.mistakes) < maxMistakes {
		want := "denied"
		if f.allowed {
			want = "allowed"
		}
		r.mistakes = append(r.mistakes, mistake{
			f.Name, f.from.text(), f.to.text(), want, since.UTC().Format("2006-01-02T15:04:05.000Z"), ms,
			float64(since.Sub(f.youngerStart()).Milliseconds()),
		})
	}
}

func (r *results) countFor(f *flow) *count {
	key := cell{f.from.network, f.to.network, f.from.node == f.to.node}
	c, exists := r.counts[key]
	if !exists {
		c = &count{cell: key}
		r.counts[key] = c
	}
	return c
}

// endStage returns the results of the current stage and starts the next one. A verdict that is wrong at that time counts in
// both stages.
func (r *results) endStage(stage string, now time.Time) stageResults {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	stillWrong := []*record{}
	for f, flowRecord := range r.flows {
		if !flowRecord.wrongSince.IsZero() {
			r.closePeriod(f, now)
			if flowRecord.lostSince.IsZero() {
				stillWrong = append(stillWrong, flowRecord)
			}
		}
	}
	ended := stageResults{
		Stage: stage, Seconds: now.Sub(r.stageStart).Seconds(), Mistakes: r.mistakes, Counts: []*count{},
		AllFlows: len(r.sampledFlows), CorrectFlows: len(r.sampledFlows) - len(r.wrongFlows), Checks: len(r.checkNames),
	}
	for _, c := range r.counts {
		ended.Counts = append(ended.Counts, c)
	}
	r.clear(now)
	for _, flowRecord := range stillWrong {
		flowRecord.wrongSince = now
	}
	return ended
}

// mark resets the counters of verdicts of all current flows.
func (r *results) mark() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, flowRecord := range r.flows {
		flowRecord.marked, flowRecord.verdicts = true, 0
	}
}

// state is the current state of all flows.
type state struct {
	// Number of flows of the last mark that still exist, the smallest number of verdicts among them, and the flow with it.
	Marked int    `json:"marked"`
	Fewest int    `json:"fewest"`
	Which  string `json:"which"`
	// Number of flows with a wrong verdict, and of those that a pod on Cilium accepts although policies deny them.
	Wrong    int `json:"wrong"`
	Accepted int `json:"accepted"`
}

func (r *results) state() state {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	current := state{}
	for f, flowRecord := range r.flows {
		if flowRecord.marked {
			if current.Marked == 0 || flowRecord.verdicts < current.Fewest {
				current.Fewest, current.Which = flowRecord.verdicts, f.text()
			}
			current.Marked++
		}
		if !flowRecord.wrongSince.IsZero() {
			current.Wrong++
			if !f.allowed && f.to.network == "cilium" {
				current.Accepted++
			}
		}
	}
	return current
}

// needsLabels returns true when the verdict on a new pod is correct only after the agent of its peer has received the pod's
// labels. On Calico, this applies to every verdict except the default one. Cilium receives the identity with the packets, so
// that an unknown pod is denied, but a rule with Deny matches an identity only once it is in the target's policy. Cilium
// 1.20 does not wait for this when it starts the first pod with a set of labels: AllocateIdentity, in pkg/identity/cache,
// ignores the channel that reports it.
func (f *flow) needsLabels() bool {
	return f.allowed || f.DenyByLabels || f.denier().network == "canal"
}

// denier returns the end at which a flow that is not allowed is denied.
func (f *flow) denier() *endpoint {
	if f.ByDestination {
		return f.to
	}
	return f.from
}

func (f *flow) text() string {
	return fmt.Sprintf("%s %s %s", f.Name, f.from.text(), f.to.text())
}

func (e *endpoint) text() string {
	return fmt.Sprintf("%s on %s (%s)", e.group, e.node, e.network)
}

// sample samples one flow until one of its ends has stopped.
func (m *matrix) sample(f flow, index int) {
	interval := time.Duration(m.spec.IntervalMs) * time.Millisecond
	m.results.startFlow(&f)
	defer m.results.endFlow(&f)
	// Distributes the samples over the interval. The first checks start immediately, because new pods are most likely to
	// have wrong verdicts.
	first := interval * time.Duration(index%16) / 16
	for timer := time.NewTimer(first); ; {
		select {
		case <-f.from.ctx.Done():
			return
		case <-f.to.ctx.Done():
			return
		case <-timer.C:
		}
		at := time.Now()
		result := m.try(f)
		if !f.from.alive() || !f.to.alive() {
			return
		}
		m.results.add(&f, result, at)
		timer.Reset(max(0, m.pace.stretched(interval)-time.Since(at)))
	}
}

// Timeout of an answer: shorter than the interval of samples, but long enough on a busy machine.
const answerTimeout = 400 * time.Millisecond

// try sends one sample. When an allowed flow has no answer, it distinguishes a denied flow from lost packets.
func (m *matrix) try(f flow) outcome {
	reached := m.reach(f)
	if reached == f.allowed {
		return correct
	}
	if reached {
		return wrong
	}
	// The flow counts as denied only when it fails repeatedly while the control port of the same ends answers, by the same
	// protocol: this program itself answers UDP, and may get no processor time on a busy machine.
	control := f
	control.Port = m.spec.Control
	for range 2 {
		if !m.reach(control) || m.reach(f) || !m.reach(control) {
			return lost
		}
	}
	if f.Protocol == "udp" && m.wasStarved() {
		return lost
	}
	return wrong
}

// Delay of a timer after which this program counts as starved of processor time. It then may not have answered UDP samples
// in time, and a missing answer has no meaning.
const starvationDelay = 100 * time.Millisecond

// watchStarvation records the last time at which this program got no processor time.
func (m *matrix) watchStarvation() {
	const interval = 10 * time.Millisecond
	for last := time.Now(); ; last = time.Now() {
		time.Sleep(interval)
		if time.Since(last) > interval+starvationDelay {
			m.starvedAt.Store(time.Now().UnixMilli())
		}
	}
}

// wasStarved returns true when the program got no processor time in the last 5 s.
func (m *matrix) wasStarved() bool { return time.Now().UnixMilli()-m.starvedAt.Load() < 5_000 }

func (m *matrix) reach(f flow) bool {
	to := netip.AddrPortFrom(f.to.ip, uint16(f.Port))
	if f.Protocol == "udp" {
		return f.from.netns.echo(to, answerTimeout)
	}
	// As in the prober, a forbidden connection counts as accepted only when it returns data: on machines without processor
	// time, single first packets passed, and none after them (docs/policies.md).
	return f.from.netns.dial(to, answerTimeout, !f.allowed)
}
