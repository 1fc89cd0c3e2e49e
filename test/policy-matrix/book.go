package main

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// flow is one check between two places.
type flow struct {
	check
	from, to *place
	allowed  bool
}

// cell is what flows are counted by.
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
	// Time for which new pods had a wrong verdict because a network learns of a pod's labels after the pod runs: see
	// needsLabels. It is not part of the wrong time.
	NewMs float64 `json:"newMs"`
}

// mistake is a flow that was judged wrongly for a while.
type mistake struct {
	Check string  `json:"check"`
	From  string  `json:"from"`
	To    string  `json:"to"`
	Want  string  `json:"want"`
	At    string  `json:"at"`
	Ms    float64 `json:"ms"`
	// How old the younger of both ends was, in ms.
	AgeMs float64 `json:"ageMs"`
}

type page struct {
	Stage    string    `json:"stage"`
	Seconds  float64   `json:"seconds"`
	Counts   []*count  `json:"counts"`
	Mistakes []mistake `json:"mistakes"`
	// Flows that were never judged wrongly, and all.
	Right, All int
	// Names of the checks that had a flow.
	Checks int `json:"checks"`
}

// A pod counts as new for so long.
const newFor = 5 * time.Second

// A flow that was never judged rightly since a pod began is still that pod's beginning, as when the agent that has to learn
// of the pod is away; but not for longer than this.
const newAtMost = time.Minute

// Mistakes are told one by one, up to so many.
const maxMistakes = 200

type book struct {
	mutex  sync.Mutex
	began  time.Time
	counts map[cell]*count
	flows  map[*flow]*record
	wrong  []mistake
	bad    map[string]bool
	all    map[string]bool
	names  map[string]bool
}

type record struct {
	// Since when it is judged wrongly; the zero time when it is not.
	since time.Time
	// Whether one of its ends was new when that began.
	new bool
	// Since when nothing is known of it: every sample since was lost, and so not judged.
	lost time.Time
	// Whether it was ever judged rightly.
	right bool
	// Whether it was there at the last mark, and how often it was judged since.
	marked bool
	judged int
}

func newBook() *book {
	b := &book{flows: map[*flow]*record{}}
	b.clear(time.Now())
	return b
}

func (b *book) clear(now time.Time) {
	b.began, b.counts, b.wrong = now, map[cell]*count{}, nil
	b.bad, b.all, b.names = map[string]bool{}, map[string]bool{}, map[string]bool{}
}

func (b *book) begin(f *flow) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, p := range []*place{f.from, f.to} {
		if p.born.IsZero() {
			p.born = time.Now()
		}
	}
	b.flows[f] = &record{}
}

func (b *book) end(f *flow) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.close(f, time.Now())
	delete(b.flows, f)
}

// outcome of one sample.
type outcome int

const (
	right outcome = iota
	wrong
	lost
)

func (b *book) note(f *flow, what outcome, at time.Time) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	c := b.countOf(f)
	c.Samples++
	name := f.text()
	if !b.all[name] {
		b.all[name] = true
		c.Flows++
	}
	b.names[f.Name] = true
	r, known := b.flows[f]
	if !known {
		return
	}
	if what != lost {
		r.judged++
	}
	switch what {
	case wrong:
		r.lost = time.Time{}
		if r.since.IsZero() {
			age := at.Sub(f.younger())
			r.since, r.new = at, age < newFor || !r.right && age < newAtMost
		}
	case lost:
		c.Lost++
		if r.lost.IsZero() {
			r.lost = at
		}
	case right:
		b.close(f, at)
		r.right, r.lost = true, time.Time{}
	}
}

// younger is when the later one of both ends began.
func (f *flow) younger() time.Time {
	if f.to.born.After(f.from.born) {
		return f.to.born
	}
	return f.from.born
}

// close ends the time for which a flow was judged wrongly.
func (b *book) close(f *flow, now time.Time) {
	r := b.flows[f]
	if r == nil || r.since.IsZero() {
		return
	}
	until := now
	if !r.lost.IsZero() {
		until = r.lost
	}
	// A sample that was under way when the page was turned began before it.
	ms := max(0, float64(until.Sub(r.since).Microseconds())/1000)
	if r.new && now.Sub(f.younger()) < newAtMost && f.needsLabels() {
		b.countOf(f).NewMs += ms
		r.since = time.Time{}
		return
	}
	b.countOf(f).Wrong++
	b.countOf(f).WrongMs += ms
	b.bad[f.text()] = true
	if len(b.wrong) < maxMistakes {
		want := "denied"
		if f.allowed {
			want = "allowed"
		}
		b.wrong = append(b.wrong, mistake{
			f.Name, f.from.text(), f.to.text(), want, r.since.UTC().Format("2006-01-02T15:04:05.000Z"), ms,
			float64(r.since.Sub(f.younger()).Milliseconds()),
		})
	}
	r.since = time.Time{}
}

func (b *book) countOf(f *flow) *count {
	key := cell{f.from.network, f.to.network, f.from.node == f.to.node}
	c, known := b.counts[key]
	if !known {
		c = &count{cell: key}
		b.counts[key] = c
	}
	return c
}

// turn begins a new page and returns the last one. What is wrong just now is on both.
func (b *book) turn(stage string, now time.Time) page {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	still := []*record{}
	for f, r := range b.flows {
		if !r.since.IsZero() {
			b.close(f, now)
			if r.lost.IsZero() {
				still = append(still, r)
			}
		}
	}
	p := page{
		Stage: stage, Seconds: now.Sub(b.began).Seconds(), Mistakes: b.wrong, Counts: []*count{},
		All: len(b.all), Right: len(b.all) - len(b.bad), Checks: len(b.names),
	}
	for _, c := range b.counts {
		p.Counts = append(p.Counts, c)
	}
	b.clear(now)
	for _, r := range still {
		r.since = now
	}
	return p
}

// mark begins to count how often every flow that there is now is judged.
func (b *book) mark() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, r := range b.flows {
		r.marked, r.judged = true, 0
	}
}

// glance is how things are just now.
type glance struct {
	// Flows of the last mark that are still there, how often the one was judged that was judged least often, and which it is.
	Marked int    `json:"marked"`
	Fewest int    `json:"fewest"`
	Which  string `json:"which"`
	// Flows that are judged wrongly, and those of them that are let in by a pod of Cilium's although they must not be.
	Wrong int `json:"wrong"`
	LetIn int `json:"letIn"`
}

func (b *book) glance() glance {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	g := glance{}
	for f, r := range b.flows {
		if r.marked {
			if g.Marked == 0 || r.judged < g.Fewest {
				g.Fewest, g.Which = r.judged, f.text()
			}
			g.Marked++
		}
		if !r.since.IsZero() {
			g.Wrong++
			if !f.allowed && f.to.network == "cilium" {
				g.LetIn++
			}
		}
	}
	return g
}

// needsLabels is true when the verdict on a new pod is right only once its peer's agent knows the pod's labels. On Calico
// this is each verdict but a default one. Cilium receives the identity with the packets, so that a pod that is unknown is
// denied; but a rule with Deny matches an identity only once it is in the target's policy. Cilium 1.20 does not wait for
// this when it starts a pod whose set of labels is the first of its kind: AllocateIdentity, in pkg/identity/cache, ignores
// the channel that reports it.
func (f *flow) needsLabels() bool {
	return f.allowed || f.DenyByLabels || f.denier().network == "canal"
}

// denier is the end at which a flow that is not allowed is denied.
func (f *flow) denier() *place {
	if f.ByDestination {
		return f.to
	}
	return f.from
}

func (f *flow) text() string {
	return fmt.Sprintf("%s %s %s", f.Name, f.from.text(), f.to.text())
}

func (p *place) text() string {
	return fmt.Sprintf("%s on %s (%s)", p.group, p.node, p.network)
}

// sample tries one flow until one of its ends is gone.
func (m *matrix) sample(f flow, index int) {
	interval := time.Duration(m.spec.IntervalMs) * time.Millisecond
	m.book.begin(&f)
	defer m.book.end(&f)
	// Not all at once; the first ones without waiting, because what is new is where things go wrong.
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
		what := m.try(f)
		if !f.from.alive() || !f.to.alive() {
			return
		}
		m.book.note(&f, what, at)
		timer.Reset(max(0, m.pace.between(interval)-time.Since(at)))
	}
}

// How long an answer may take. Short enough to come back within a sample, long enough for a machine that is busy.
const answerTimeout = 400 * time.Millisecond

func (m *matrix) try(f flow) outcome {
	reached := m.reach(f)
	if reached == f.allowed {
		return right
	}
	if reached {
		return wrong
	}
	// Is it the policy, or do packets not arrive at all? Only what fails while others pass between the same ends, and
	// fails again, was denied.
	// By the same protocol: answers to UDP come from this very program, which a busy machine lets wait.
	control := f
	control.Port = m.spec.Control
	for range 2 {
		if !m.reach(control) || m.reach(f) || !m.reach(control) {
			return lost
		}
	}
	if f.Protocol == "udp" && m.busy() {
		return lost
	}
	return wrong
}

// Answers to UDP come from this very program: when it did not get a core for so long, nothing follows from their absence.
const starved = 100 * time.Millisecond

// feel notes when this program has to wait for a core.
func (m *matrix) feel() {
	const every = 10 * time.Millisecond
	for last := time.Now(); ; last = time.Now() {
		time.Sleep(every)
		if time.Since(last) > every+starved {
			m.starvedAt.Store(time.Now().UnixMilli())
		}
	}
}

func (m *matrix) busy() bool { return time.Now().UnixMilli()-m.starvedAt.Load() < 5_000 }

func (m *matrix) reach(f flow) bool {
	to := netip.AddrPortFrom(f.to.ip, uint16(f.Port))
	if f.Protocol == "udp" {
		return f.from.space.echo(to, answerTimeout)
	}
	// As in the prober: a forbidden connection is let in when data comes through it. Single first packets were seen to pass
	// on a starved machine, and nothing after them (docs/policies.md).
	return f.from.space.dial(to, answerTimeout, !f.allowed)
}
