package breaker

import (
	"slices"
	"time"
)

// history is how many transitions a snapshot shows.
const history = 16

// turn changes the state and queues the event. The lock is held; unlock tells.
func (b *Breaker) turn(to State, rule string) {
	old := b.era.Load()
	e := b.newEra(to, old.generation+1)
	t := Transition{Breaker: b.cfg.Name, From: old.state, To: to, Rule: rule, At: e.since, Generation: e.generation, Counts: b.counts(old)}
	t.P50, t.P99 = old.window.latency()
	b.past += old.window.end()
	switch to {
	case Open:
		b.tally.opened.Add(1)
		if old.state == Closed {
			b.tripped, b.reopened = old, 0
		}
		t.OpenFor = b.hold(e, 0, time.Duration(old.notBefore.Load()))
	case HalfOpen:
		b.half.to(0)
	case Closed:
		b.tripped = nil
	}
	b.era.Store(e)
	if b.recent = append(b.recent, t); len(b.recent) > history {
		b.recent = slices.Delete(b.recent, 0, 1)
	}
	if b.cfg.OnTransition != nil {
		b.queue = append(b.queue, t)
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// unlock gives the lock back and tells what has happened, in order, without it. Whoever is telling already tells all.
func (b *Breaker) unlock() {
	defer b.mu.Unlock()
	if b.telling {
		return
	}
	b.telling = true
	defer func() { b.telling = false }()
	for len(b.queue) > 0 {
		t := b.queue[0]
		b.queue = b.queue[1:]
		b.tell(t)
	}
}

// tell calls the listener without the lock, and has it again even where the listener panics.
func (b *Breaker) tell(t Transition) {
	b.mu.Unlock()
	defer b.mu.Lock()
	b.cfg.OnTransition(t)
}

// Trip forces the breaker open until Reset.
func (b *Breaker) Trip() { b.force(ForcedOpen, "tripped") }

// Disable lets everything through until Reset: calls are counted, but open nothing.
func (b *Breaker) Disable() { b.force(Disabled, "disabled") }

// Reset closes the breaker and forgets what it has counted; a closed one too, which begins a new generation.
func (b *Breaker) Reset() { b.force(Closed, "reset") }

func (b *Breaker) force(to State, rule string) {
	b.mu.Lock()
	defer b.unlock()
	if b.State() != to || to == Closed {
		b.turn(to, rule)
	}
}

// Snapshot returns the breaker as it is now.
func (b *Breaker) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.era.Load()
	s := Snapshot{
		Name: b.cfg.Name, State: e.state, Since: e.since, Generation: e.generation,
		Counts: b.counts(e), Totals: b.tally.totals(), Transitions: slices.Clone(b.recent),
	}
	left := int64(b.tally.unfailed.Load() + b.past + uint64(e.window.calls.Load()))
	b.successes = max(b.successes, left-int64(b.tally.failing.Load()))
	s.Totals.Successes = uint64(b.successes)
	if e.state == HalfOpen {
		s.Limit = b.limit()
	}
	if b.probeError != nil {
		s.ProbeError = b.probeError.Error()
	}
	return s
}

func (t *tally) counts() Counts {
	return Counts{Ignored: t.ignored.Load(), Late: t.late.Load(), Expired: t.expired.Load(), Refused: t.refused.Load()}
}

// totals are all but the successes.
func (t *tally) totals() Totals {
	return Totals{
		Failures: t.failures.Load(), Slow: t.slow.Load(), Ignored: t.ignored.Load(), Late: t.late.Load(), Expired: t.expired.Load(),
		Refused: t.refused.Load(), Probes: t.probes.Load(), ProbeFailures: t.probeFailures.Load(), Opened: t.opened.Load(),
	}
}
