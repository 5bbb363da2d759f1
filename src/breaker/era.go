package breaker

import (
	"math"
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
	e.refusal.Store(&refusal{err: OpenError{Name: b.cfg.Name, State: s}})
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

// refusal is the error that callers get, made once in a while rather than once a call. It never changes; a new one takes
// its place, under the lock.
type refusal struct {
	err         OpenError
	made, fresh time.Duration // from when until when it may be given as it is
	from, until time.Duration // the open time
}

func (r *refusal) holds(now time.Duration) bool { return r.made <= now && now < r.fresh }

// over reports whether the open time is over. It is also over when the clock has gone back to before it.
func (r *refusal) over(now time.Duration) bool { return now < r.from || now >= r.until }

// hold keeps an open era from trying again: for a time that doubles with every failed return, or for least, with 20 % of
// jitter, and never until before notBefore. The lock is held.
func (b *Breaker) hold(e *era, least, notBefore time.Duration) time.Duration {
	d := b.cfg.OpenFor
	for i := 0; i < b.reopened && d < b.cfg.OpenMax; i++ {
		d = min(2*d, b.cfg.OpenMax)
	}
	now := b.now()
	d = max(time.Duration(float64(max(d, least))*(0.8+0.4*rand.Float64())), notBefore-now)
	e.refusal.Store(&refusal{err: OpenError{Name: b.cfg.Name, State: Open}, from: now, until: now + d})
	return d
}

// renew returns the refusal of now, and keeps it for as long as it is good. The lock is held.
func (b *Breaker) renew(e *era, now time.Duration) *refusal {
	r := *e.refusal.Load()
	r.made, r.fresh = now, math.MaxInt64
	switch {
	case e.state == HalfOpen:
		r.fresh = b.half.nextFree()
	case !r.over(now):
		r.err.RetryAfter = r.until - now
		r.fresh = min(now+max(r.err.RetryAfter/32, time.Millisecond), r.until)
	default:
		r.err.RetryAfter = 0 // the probe decides
	}
	e.refusal.Store(&r)
	return &r
}

// stale makes the next caller look for itself.
func (e *era) stale() {
	r := *e.refusal.Load()
	r.fresh = r.made
	e.refusal.Store(&r)
}
