package breaker

import "time"

// steps of the ramp: how a half-open breaker comes back where calls run concurrently.
const steps = 5

// percent is how much of the calls that were under way when the breaker opened it lets through in a step.
func percent(step int) int { return [steps]int{1, 5, 25, 50, 100}[step] }

// half is what is known of the trials of a half-open breaker. The breaker's lock guards it.
type half struct {
	// leases are the ends of the leases of all trials under way, those of earlier returns that failed included: together
	// they are never more than the limit. They end in the order of their tickets.
	leases         map[uint64]time.Duration
	oldest, newest uint64
	step           int    // of the ramp
	seen           Counts // results within this step
	bad            int    // of them
}

// nextFree is when the oldest lease ends; there is one.
func (h *half) nextFree() time.Duration { return h.leases[h.oldest] }

// limit is how many trials there may be at the same time. How many calls were under way when the breaker opened is known
// from those that have come back late from then: closed breakers need not count, and calls that were lost don't.
func (b *Breaker) limit() int {
	if b.cfg.NoRamp || b.tripped == nil {
		return b.cfg.Trials
	}
	under := 1 + int(b.tripped.late.Load())
	return max(b.cfg.Trials, (under*percent(b.half.step)+99)/100)
}

// admit gives a trial its ticket, or 0 where there are enough. The lock is held.
func (b *Breaker) admit(now time.Duration) uint64 {
	h := &b.half
	for ; h.oldest <= h.newest; h.oldest++ {
		end, held := h.leases[h.oldest]
		if held && end > now && end-now <= b.cfg.Lease { // the latter: unless the clock went back
			break
		}
		if held {
			delete(h.leases, h.oldest)
			b.tally.expired.Add(1)
		}
	}
	if len(h.leases) >= b.limit() {
		return 0
	}
	h.newest++
	h.leases[h.newest] = now + b.cfg.Lease
	return h.newest
}

// doneTrial is Done of a trial.
func (p Permit) doneTrial(o Outcome) Verdict {
	b := p.b
	if b == nil {
		return Late
	}
	b.mu.Lock()
	defer b.unlock()
	now := b.now()
	took := now - p.start
	_, held := b.half.leases[p.ticket]
	delete(b.half.leases, p.ticket)
	e := b.era.Load()
	if e.state == HalfOpen {
		e.stale() // a slot is free
	}
	switch {
	case !held: // and counted when it was given up
		return Expired
	case e != p.era:
		return b.late(p.era)
	case took >= b.cfg.Lease:
		b.tally.expired.Add(1)
		return Expired
	case o == Ignored:
		b.tally.ignored.Add(1)
		return Counted
	}
	mark, _ := b.record(e, o, took, now) // it counts: the lock keeps the era
	b.settle(mark)
	return Counted
}

// settle takes the result of a trial. The first step forgives nothing; the others are judged as a closed breaker is, over
// as many calls as they let through at the same time. The lock is held.
func (b *Breaker) settle(mark uint64) {
	h, limit := &b.half, b.limit()
	h.seen.count(mark)
	if mark != 0 {
		h.bad++
	}
	switch {
	case h.step == 0 && mark != 0:
		b.reopened++
		b.turn(Open, "trial_failed")
	case h.step > 0 && (h.bad >= limit || b.cfg.rule(h.seen, 0, uint64(limit)) != ""):
		h.to(h.step - 1)
	case h.seen.Calls >= uint64(limit):
		b.climb(limit)
	}
}

// climb goes to the next step that lets more through, or closes the breaker. The lock is held.
func (b *Breaker) climb(limit int) {
	for step := b.half.step + 1; step < steps; step++ {
		if b.half.to(step); b.limit() > limit {
			return
		}
	}
	b.turn(Closed, "trials_passed")
}

func (h *half) to(step int) { h.step, h.seen, h.bad = step, Counts{}, 0 }

// count adds one call.
func (n *Counts) count(mark uint64) {
	n.Calls++
	n.Slow += mark / slow
	if mark&failed == 0 {
		n.ConsecutiveFailures = 0
		return
	}
	n.Failures++
	n.ConsecutiveFailures++
}
