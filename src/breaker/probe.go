package breaker

import (
	"context"
	"time"
)

// Run probes while the breaker is open, until ctx ends; it returns nil. It has nothing to do where there is no Probe.
func (b *Breaker) Run(ctx context.Context) error {
	for b.cfg.Probe != nil && ctx.Err() == nil {
		wait, changed := b.due()
		if wait == 0 {
			b.probe(ctx)
			continue
		}
		sleep(ctx, wait, changed)
	}
	<-ctx.Done()
	return nil
}

// due returns how long until the next probe, and what ends the wait early. Without anything to probe it is an hour.
func (b *Breaker) due() (time.Duration, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, s := split(b.word.Load()); s != Open {
		return time.Hour, b.changed
	}
	return max(b.openUntil-b.now(), 0), b.changed
}

// probe makes one probe. Success makes the breaker half-open; failure keeps it open for longer.
func (b *Breaker) probe(ctx context.Context) {
	before := b.word.Load()
	ctx, cancel := context.WithTimeout(ctx, b.cfg.ProbeTimeout)
	defer cancel()
	err := b.cfg.Probe(ctx)
	b.mu.Lock()
	defer b.unlock()
	if b.word.Load() != before {
		return // somebody has decided otherwise meanwhile
	}
	if err == nil {
		b.turn(HalfOpen, "probe_passed")
		return
	}
	b.reopened++
	b.hold()
	b.openUntil = max(b.openUntil, b.now()+b.cfg.ProbeEvery)
}

func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}
