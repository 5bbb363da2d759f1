package breaker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// history is how many transitions a snapshot shows.
const history = 16

// Breaker is one circuit breaker. Its methods may be called from any goroutine.
type Breaker struct {
	cfg  Config
	base time.Time // all times are since base, by the monotonic clock

	// word is generation<<3 | state. A closed breaker's Acquire reads it and nothing else.
	word    atomic.Uint64
	refused atomic.Uint64

	mu        sync.Mutex
	window    window
	totals    Totals
	since     time.Time
	openUntil time.Duration   // since base; while open
	reopened  int             // failed returns in a row: the exponent of the backoff
	trials    []time.Duration // half-open: each slot's lease end, 0 where it is free
	passed    int             // half-open: successful trials
	recent    []Transition
	queue     []Transition // not told yet
	telling   bool
	changed   chan struct{} // closed at each transition
}

// New returns a closed breaker, or an error that says which field is wrong.
func New(cfg Config) (*Breaker, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	return &Breaker{
		cfg: cfg, base: time.Now(), since: time.Now(), window: newWindow(cfg.Window),
		trials: make([]time.Duration, cfg.Trials), changed: make(chan struct{}),
	}, nil
}

func (b *Breaker) now() time.Duration { return time.Since(b.base) }

func split(word uint64) (generation uint64, s State) { return word >> 3, State(word & 7) }

// State returns the state of now.
func (b *Breaker) State() State {
	_, s := split(b.word.Load())
	return s
}

// Name returns the breaker's name.
func (b *Breaker) Name() string { return b.cfg.Name }

// Permit is the lease of one call. Done must be called once; without it the lease frees its slot.
type Permit struct {
	b          *Breaker
	generation uint64
	start      time.Duration
	slot       int // of a trial, else -1
}

// Acquire asks to make a call. A refusal is an [*OpenError].
func (b *Breaker) Acquire() (Permit, error) {
	generation, s := split(b.word.Load())
	if s == Closed || s == Disabled {
		return Permit{b, generation, b.now(), -1}, nil
	}
	p, err := b.acquireSlow()
	if err != nil {
		b.refused.Add(1)
	}
	return p, err
}

// acquireSlow is Acquire where the breaker is not closed.
func (b *Breaker) acquireSlow() (Permit, error) {
	b.mu.Lock()
	defer b.unlock()
	now := b.now()
	generation, s := split(b.word.Load())
	if s == Open && b.cfg.Probe == nil && now >= b.openUntil {
		b.turn(HalfOpen, "open_time_over")
		generation, s = split(b.word.Load())
	}
	switch s {
	case Closed, Disabled:
		return Permit{b, generation, now, -1}, nil
	case HalfOpen:
		for i, end := range b.trials {
			if end == 0 || now >= end {
				if end != 0 {
					b.totals.Expired++
				}
				b.trials[i] = now + b.cfg.Lease
				return Permit{b, generation, now, i}, nil
			}
		}
		return Permit{}, &OpenError{b.cfg.Name, s, slices.Min(b.trials) - now}
	}
	return Permit{}, &OpenError{b.cfg.Name, s, max(b.openUntil-now, 0)}
}

// Done says how the call ended and returns what became of it. Of the zero Permit, which a refusal returns, it is nothing.
func (p Permit) Done(o Outcome) Verdict {
	b := p.b
	if b == nil {
		return Late
	}
	b.mu.Lock()
	defer b.unlock()
	now := b.now()
	generation, s := split(b.word.Load())
	if generation != p.generation {
		b.totals.Late++
		return Late
	}
	if now-p.start >= b.cfg.Lease {
		switch {
		case p.slot < 0:
			b.totals.Expired++
		case b.trials[p.slot] == p.start+b.cfg.Lease: // else it was counted when another took the slot
			b.totals.Expired++
			b.trials[p.slot] = 0
		}
		return Expired
	}
	if s == Disabled {
		return Counted
	}
	if p.slot >= 0 {
		b.trials[p.slot] = 0
	}
	b.settle(s, o, now-p.start)
	return Counted
}

// settle counts an outcome and changes the state where a rule says so. The lock is held.
func (b *Breaker) settle(s State, o Outcome, took time.Duration) {
	var m mark
	switch o {
	case Ignored:
		b.totals.Ignored++
		return
	case Failure:
		m = failed
		b.totals.Failures++
	case Success:
		b.totals.Successes++
	}
	if b.cfg.SlowCall > 0 && took > b.cfg.SlowCall {
		m |= slow
		b.totals.Slow++
	}
	b.window.add(m)
	switch {
	case s == HalfOpen && m != 0:
		b.turn(Open, "trial_failed")
	case s == HalfOpen:
		if b.passed++; b.passed >= b.cfg.Trials {
			b.turn(Closed, "trials_passed")
		}
	case s == Closed:
		if rule := b.cfg.rule(b.window.counts); rule != "" {
			b.turn(Open, rule)
		}
	}
}

// turn changes the state, clears the counts and queues the event. The lock is held; unlock tells.
func (b *Breaker) turn(to State, rule string) {
	generation, from := split(b.word.Load())
	t := Transition{Breaker: b.cfg.Name, From: from, To: to, Rule: rule, At: time.Now(), Generation: generation + 1, Counts: b.window.counts}
	switch {
	case to == Open && from == HalfOpen:
		b.reopened++
		t.OpenFor = b.hold()
	case to == Open:
		b.reopened = 0
		t.OpenFor = b.hold()
	}
	b.window.clear()
	clear(b.trials)
	b.passed, b.since = 0, t.At
	b.word.Store(t.Generation<<3 | uint64(to))
	if b.recent = append(b.recent, t); len(b.recent) > history {
		b.recent = slices.Delete(b.recent, 0, 1)
	}
	if b.cfg.OnTransition != nil {
		b.queue = append(b.queue, t)
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// hold sets the end of the open time: it doubles with every failed return, up to the cap, with 20 % of jitter.
func (b *Breaker) hold() time.Duration {
	d := b.cfg.OpenFor
	for range min(b.reopened, 40) {
		d = min(2*d, b.cfg.OpenMax)
	}
	d = time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
	b.openUntil = b.now() + d
	return d
}

// unlock gives the lock back and tells what has happened, in order, without it. Whoever is telling already tells all.
func (b *Breaker) unlock() {
	if b.telling || len(b.queue) == 0 {
		b.mu.Unlock()
		return
	}
	b.telling = true
	for len(b.queue) > 0 {
		t := b.queue[0]
		b.queue = b.queue[1:]
		b.mu.Unlock()
		b.cfg.OnTransition(t)
		b.mu.Lock()
	}
	b.telling = false
	b.mu.Unlock()
}

// Trip forces the breaker open until Reset.
func (b *Breaker) Trip() { b.force(ForcedOpen, "tripped") }

// Disable lets everything through, uncounted, until Reset.
func (b *Breaker) Disable() { b.force(Disabled, "disabled") }

// Reset closes the breaker and forgets what it has counted.
func (b *Breaker) Reset() { b.force(Closed, "reset") }

func (b *Breaker) force(to State, rule string) {
	b.mu.Lock()
	defer b.unlock()
	if b.State() != to {
		b.reopened, b.openUntil = 0, 0
		b.turn(to, rule)
	}
}

// Snapshot returns the breaker as it is now.
func (b *Breaker) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, s := split(b.word.Load())
	totals := b.totals
	totals.Refused = b.refused.Load()
	return Snapshot{b.cfg.Name, s, b.since, b.window.counts, totals, slices.Clone(b.recent)}
}

// Do makes a call where the breaker lets it: an error of fn is a failure, unless the caller's ctx is canceled; then it is
// neither. A panic is a failure and goes on.
func Do(ctx context.Context, b *Breaker, fn func(context.Context) error) error {
	p, err := b.Acquire()
	if err != nil {
		return err
	}
	outcome := Failure
	defer func() { p.Done(outcome) }()
	err = fn(ctx)
	switch {
	case err == nil:
		outcome = Success
	case errors.Is(ctx.Err(), context.Canceled):
		outcome = Ignored
	}
	return err
}
