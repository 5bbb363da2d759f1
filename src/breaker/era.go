package breaker

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// era is one generation of one state. A permit points to the era that gave it, so a result finds out with one comparison
// whether it is late, and nothing needs clearing: a transition begins a new era and forgets the old one.
type era struct {
	state      State
	passes     bool // closed or disabled
	generation uint64
	since      time.Time
	before     Counts // of the tally, when the era began
	refusal    atomic.Pointer[refusal]
	notBefore  atomic.Int64 // what retry-after said, by the breaker's clock; no open time that begins with this era's end ends before
	late       atomic.Int64 // results of this era that came after its end
	window     window
}

func (b *Breaker) newEra(s State, generation uint64) *era {
	e := &era{state: s, passes: s == Closed || s == Disabled, generation: generation, since: time.Now(), before: b.tally.counts()}
	r := &refusal{err: OpenError{Name: b.cfg.Name, State: s}}
	r.standing.Store(s == ForcedOpen)
	e.refusal.Store(r)
	e.window.init(&b.cfg)
	return e
}

// postpone lets no open time that begins with the end of this era end before t.
func (e *era) postpone(t time.Duration) {
	for {
		was := e.notBefore.Load()
		if int64(t) <= was || e.notBefore.CompareAndSwap(was, int64(t)) {
			return
		}
	}
}

// counts are what the era has seen.
func (b *Breaker) counts(e *era) Counts {
	n, all := e.window.counts(b.now()), b.tally.counts()
	n.Ignored, n.Late = all.Ignored-e.before.Ignored, all.Late-e.before.Late
	n.Expired, n.Refused = all.Expired-e.before.Expired, all.Refused-e.before.Refused
	return n
}

// refusal is the error that callers get, made once for all of them. It never changes, but for the end of standing; where
// it is not good any more a new one takes its place, under the lock.
type refusal struct {
	err      OpenError
	standing atomic.Bool // it may be given, whatever the clock says: nobody needs to look
}

// holds reports whether it may be given as it is.
func (r *refusal) holds(now time.Duration) bool { return r.err.from <= now && now < r.err.until }

// early is how long before an open time ends its refusals begin to read the clock: timers may be late, clocks are not.
const early = 5 * time.Millisecond

// hold keeps an open era from trying again: for a time that doubles with every failed return, or for least, with 20 % of
// jitter, and never until before notBefore. The lock is held.
func (b *Breaker) hold(e *era, least, notBefore time.Duration) time.Duration {
	d := b.cfg.OpenFor
	for i := 0; i < b.reopened && d < b.cfg.OpenMax; i++ {
		d = min(2*d, b.cfg.OpenMax)
	}
	now := b.now()
	d = max(time.Duration(float64(max(d, least))*(0.8+0.4*rand.Float64())), notBefore-now)
	r := &refusal{err: OpenError{Name: b.cfg.Name, State: Open, clock: b.now, from: now, until: now + d}}
	switch {
	case b.cfg.Probe != nil:
		r.standing.Store(true) // the probe decides
	case b.cfg.Clock == nil:
		r.standing.Store(true)
		time.AfterFunc(d-min(d/8, early), func() { r.standing.Store(false) })
	}
	e.refusal.Store(r)
	return d
}

// wait returns the refusal of a half-open breaker of now: it is good until the oldest lease ends. The lock is held.
func (b *Breaker) wait(e *era, now time.Duration) *refusal {
	r := &refusal{err: OpenError{Name: b.cfg.Name, State: HalfOpen, from: now, until: b.half.nextFree()}}
	e.refusal.Store(r)
	return r
}

// stale makes the next caller of a half-open breaker look for itself. The lock is held.
func (e *era) stale() {
	r := &refusal{err: e.refusal.Load().err}
	r.err.until = r.err.from
	e.refusal.Store(r)
}
