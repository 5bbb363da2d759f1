package breaker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Breaker is one circuit breaker. Its methods may be called from any goroutine.
type Breaker struct {
	cfg  Config
	base time.Time // the monotonic clock's start
	// era is the state and its generation in one word. It and what stands above is all that Acquire reads of a closed breaker.
	era atomic.Pointer[era]
	_   [64]byte // what follows is written while calls are made

	tally  tally
	dozing atomic.Bool   // Run sleeps until a call is refused
	wake   chan struct{} // ends its sleep

	mu         sync.Mutex
	past       uint64        // calls counted in former generations
	successes  int64         // the most that a snapshot has shown
	reopened   int           // failed returns in a row: the exponent of the backoff
	half       half          // what a half-open breaker knows of its trials
	tripped    *era          // the closed one before
	probeError error         // the latest probe's
	recent     []Transition  // the latest ones, newest last
	queue      []Transition  // not told yet
	telling    bool          // somebody is at it, and tells all
	changed    chan struct{} // closed at each transition
}

// tally holds what never shrinks and is counted as it happens. Successes are not: they are what remains of the calls.
type tally struct {
	failures, slow, ignored, late, expired, refused, probes, probeFailures, opened atomic.Uint64
	// failing counts failures before they count as calls, unfailed those of them that then were late. Read in the order
	// unfailed, calls, failing, they never show a success too many.
	failing, unfailed atomic.Uint64
}

// New returns a closed breaker, or an error that says which field is wrong.
func New(cfg Config) (*Breaker, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	b := &Breaker{cfg: cfg, base: time.Now(), wake: make(chan struct{}, 1), changed: make(chan struct{})}
	b.half.leases = map[uint64]time.Duration{}
	b.era.Store(b.newEra(Closed, 0))
	return b, nil
}

func (b *Breaker) now() time.Duration {
	if b.cfg.Clock != nil {
		return b.cfg.Clock()
	}
	return time.Since(b.base)
}

// Name returns the breaker's name.
func (b *Breaker) Name() string { return b.cfg.Name }

// State returns the state of now. An open breaker stays open until a call or a probe finds its open time over.
func (b *Breaker) State() State { return b.era.Load().state }

// Permit is the lease of one call. Done or DoneAfter must be called once; where it isn't, the lease frees the slot. Those
// of the zero Permit, which comes with a refusal, do nothing.
type Permit struct {
	b      *Breaker
	era    *era
	start  time.Duration
	ticket uint64 // of a trial, else 0
}

// Acquire asks to make a call. A refusal is an [*OpenError].
func (b *Breaker) Acquire() (Permit, error) {
	if e := b.era.Load(); e.passes {
		return Permit{b: b, era: e, start: b.now()}, nil
	}
	return b.acquire()
}

// acquire is Acquire where not all calls pass. A refusal takes no lock.
func (b *Breaker) acquire() (Permit, error) {
	if r := b.era.Load().refusal.Load(); r.standing.Load() || r.holds(b.now()) {
		return Permit{}, b.refuse(r)
	}
	b.mu.Lock()
	defer b.unlock()
	now := b.now() // anew: whoever had the lock before may have set times by a later one
	e := b.era.Load()
	if r := e.refusal.Load(); e.state == Open && !r.standing.Load() && !r.holds(now) {
		b.turn(HalfOpen, "open_time_over")
		e = b.era.Load()
	}
	switch {
	case e.passes:
		return Permit{b: b, era: e, start: now}, nil
	case e.state == HalfOpen:
		if ticket := b.admit(now); ticket != 0 {
			return Permit{b, e, now, ticket}, nil
		}
		return Permit{}, b.refuse(b.wait(e, now))
	}
	return Permit{}, b.refuse(e.refusal.Load())
}

func (b *Breaker) refuse(r *refusal) error {
	b.tally.refused.Add(1)
	if b.dozing.Load() && b.dozing.CompareAndSwap(true, false) {
		select {
		case b.wake <- struct{}{}:
		default: // an earlier one is still there, and as good
		}
	}
	return &r.err
}

// Done says how the call ended and returns what became of it.
func (p Permit) Done(o Outcome) Verdict {
	b, e := p.b, p.era
	if p.ticket != 0 || b == nil {
		return p.doneTrial(o)
	}
	now := b.now()
	took := now - p.start
	if b.era.Load() != e {
		return b.late(e)
	}
	if o != Success || took >= b.cfg.SlowCall {
		return b.doneBad(e, o, took, now)
	}
	n := e.window.calls.Add(1)
	if n < 0 {
		return b.late(e)
	}
	e.window.add(n, 0, took, now)
	return Counted
}

// DoneAfter is Done where the guarded thing said how long to leave it alone: an open time that begins with this result,
// or later in this generation, lasts at least until then.
func (p Permit) DoneAfter(o Outcome, retryAfter time.Duration) Verdict {
	if p.b != nil && retryAfter > 0 {
		p.postpone(retryAfter)
	}
	return p.Done(o)
}

// DoneErr is DoneAfter with what the error of a failed call asks for: it may have a method RetryAfter() time.Duration.
func (p Permit) DoneErr(o Outcome, err error) Verdict {
	if o != Failure {
		return p.Done(o)
	}
	return p.DoneAfter(o, retryAfter(err))
}

func (p Permit) postpone(d time.Duration) {
	p.era.postpone(p.b.now() + min(d, p.b.cfg.RetryAfterMax))
}

// doneBad is Done of a call that failed, was slow or doesn't count, where all pass.
func (b *Breaker) doneBad(e *era, o Outcome, took, now time.Duration) Verdict {
	if o == Ignored {
		b.tally.ignored.Add(1)
	} else {
		if _, counted := b.record(e, o, took, now); !counted {
			return b.late(e)
		}
		b.judge(e, now)
	}
	if took >= b.cfg.Lease {
		b.tally.expired.Add(1)
		return Expired
	}
	return Counted
}

// record counts a success or failure, unless the era is over meanwhile, and says what is wrong with it.
func (b *Breaker) record(e *era, o Outcome, took, now time.Duration) (mark uint64, counted bool) {
	if o == Failure {
		mark = failed // which is 1
	}
	b.tally.failing.Add(mark)
	n := e.window.calls.Add(1)
	if n < 0 {
		b.tally.unfailed.Add(mark)
		return 0, false
	}
	b.tally.failures.Add(mark)
	if took >= b.cfg.SlowCall {
		mark |= slow
		b.tally.slow.Add(1)
	}
	e.window.add(n, mark, took, now)
	return mark, true
}

// judge opens the breaker where the window breaks a rule. Only a failed or slow call asks for it: no success opens.
func (b *Breaker) judge(e *era, now time.Duration) {
	if e.state != Closed {
		return
	}
	n := e.window.counts(now)
	rule := b.cfg.rule(n, uint64(b.cfg.MinCalls), n.Calls)
	if rule == "" {
		return
	}
	b.mu.Lock()
	defer b.unlock()
	if b.era.Load() == e {
		b.turn(Open, rule)
	}
}

// late counts a result of a generation that is over. Those of the one that ended with a trip say how many were under way.
func (b *Breaker) late(e *era) Verdict {
	b.tally.late.Add(1)
	e.late.Add(1)
	return Late
}

// Do makes a call where the breaker lets it: an error of fn is a failure, unless the caller's ctx is canceled; then it is
// neither. A panic is a failure and goes on. What an error asks for is heeded as in DoneErr.
func Do(ctx context.Context, b *Breaker, fn func(context.Context) error) error {
	p, err := b.Acquire()
	if err != nil {
		return err
	}
	outcome := Failure
	defer func() { p.DoneErr(outcome, err) }()
	err = fn(ctx)
	switch {
	case err == nil:
		outcome = Success
	case errors.Is(ctx.Err(), context.Canceled):
		outcome = Ignored
	}
	return err
}

// retryAfter returns what the error asks for, or 0.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); ok {
		return e.RetryAfter()
	}
	return 0
}
