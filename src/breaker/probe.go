package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	errProbeGone = errors.New("probe ended its goroutine")
	errProbeHung = errors.New("probe does not heed its deadline")
)

// Run probes while the breaker is open, until ctx ends; it returns nil. It has nothing to do where there is no Probe. One
// Run a breaker.
func (b *Breaker) Run(ctx context.Context) error {
	d := demand{b: b}
	for b.cfg.Probe != nil && ctx.Err() == nil {
		wait, e, changed := b.due()
		switch {
		case e.state != Open:
			sleep(ctx, -1, changed, nil)
		case wait > 0:
			sleep(ctx, wait, changed, nil)
		case d.idle(e):
			d.doze(ctx, changed)
		default:
			if err := b.probe(ctx); ctx.Err() == nil {
				b.settleProbe(e, err)
			}
		}
	}
	<-ctx.Done()
	return nil
}

// due returns how long the era lasts before a probe may end it, and what tells of its end.
func (b *Breaker) due() (time.Duration, *era, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, now := b.era.Load(), b.now()
	r := e.refusal.Load()
	if !r.holds(now) {
		return 0, e, b.changed
	}
	return r.err.until - now, e, b.changed
}

// probe makes one probe and returns its error. One that does not heed its deadline holds a lease like any other call:
// until that ends, or it returns, there is no other.
func (b *Breaker) probe(ctx context.Context) error {
	probing, cancel := context.WithTimeout(ctx, b.cfg.ProbeTimeout)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		err := errProbeGone
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("probe panicked: %v", r)
			}
			result <- err
		}()
		err = b.cfg.Probe(probing)
	}()
	patience := time.NewTimer(max(b.cfg.Lease, b.cfg.ProbeTimeout))
	defer patience.Stop()
	select {
	case err := <-result:
		return err
	case <-patience.C:
	case <-ctx.Done():
		patience.Reset(b.cfg.ProbeTimeout)
		select {
		case err := <-result:
			return err
		case <-patience.C:
		}
	}
	return errProbeHung
}

// settleProbe takes the result of a probe. Success makes the breaker half-open; failure keeps it open for longer.
func (b *Breaker) settleProbe(e *era, err error) {
	b.mu.Lock()
	defer b.unlock()
	b.tally.probes.Add(1)
	if b.probeError = err; err != nil {
		b.tally.probeFailures.Add(1)
	}
	switch {
	case b.era.Load() != e: // somebody has decided otherwise meanwhile
	case err == nil:
		b.turn(HalfOpen, "probe_passed")
	default:
		b.reopened++
		b.hold(e, b.cfg.ProbeEvery, b.now()+min(retryAfter(err), b.cfg.RetryAfterMax))
	}
}

// demand finds out whether anybody still wants to make calls.
type demand struct {
	b       *Breaker
	era     *era
	refused uint64
	at      time.Duration // when refused was seen to have changed
}

// idle reports that no call has been refused for a while.
func (d *demand) idle(e *era) bool {
	now, refused := d.b.now(), d.b.tally.refused.Load()
	if e != d.era || refused != d.refused {
		d.era, d.refused, d.at = e, refused, now
	}
	return now-d.at >= d.b.cfg.IdleAfter
}

// doze waits for the next call to be refused.
func (d *demand) doze(ctx context.Context, changed <-chan struct{}) {
	b := d.b
	b.dozing.Store(true)
	defer b.dozing.Store(false)
	if b.tally.refused.Load() == d.refused {
		sleep(ctx, -1, changed, b.wake)
	}
}

// sleep waits until ctx ends, something happens or the time is over; a negative time never is.
func sleep(ctx context.Context, d time.Duration, changed, wake <-chan struct{}) {
	var over <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-wake:
	case <-over:
	}
}
