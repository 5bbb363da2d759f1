package exchange

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"quotes/src/exchange/fault"
	"quotes/src/quote"
	"quotes/src/wire"
)

// errCut ends a session as the plan says.
var errCut = errors.New("session cut as planned")

// garbage is what a session gets in place of a frame.
const garbage = "\x00 no frame at all }{\n"

// faulty is a [Source] with whose requests and sessions goes wrong what a plan says, and that hangs when the gate does.
// Sessions and requests are numbered from 0, and so are the seconds of a session, by its own clock: these numbers and the
// seed are all that a fault depends on.
type faulty struct {
	Source
	plan *fault.Plan
	gate *gate
	met  *metrics

	sessions atomic.Uint64
	requests atomic.Uint64
}

// Quotes implements [Source].
func (f *faulty) Quotes(ctx context.Context, symbols []string) ([]quote.Quote, error) {
	delay, fails := f.plan.Request(f.requests.Add(1) - 1)
	if delay > 0 {
		f.met.faults.WithLabelValues("slow_request").Inc()
	}
	if !sleep(ctx, delay) {
		return nil, ctx.Err()
	}
	if fails {
		f.met.faults.WithLabelValues("error").Inc()
		return nil, wire.Errorf(wire.Unavailable, "the exchange has a bad moment: ask again")
	}
	return f.Source.Quotes(ctx, symbols)
}

// Stream implements [Source].
func (f *faulty) Stream(ctx context.Context, emit func([]Event) error) error {
	s := &unsteady{faulty: f, number: f.sessions.Add(1) - 1, began: time.Now(), emit: emit}
	return f.Source.Stream(ctx, func(events []Event) error {
		if err := s.faults(ctx); err != nil {
			return err
		}
		if err := f.gate.await(ctx); err != nil {
			return err
		}
		return emit(events)
	})
}

// unsteady is one session's stream.
type unsteady struct {
	*faulty
	number, second uint64 // second: the next to be looked at
	began          time.Time
	emit           func([]Event) error
}

// faults makes what is planned for the seconds that have begun. None is passed over, though it may come late, but those
// that a hang takes: else a long one would bring the next.
func (s *unsteady) faults(ctx context.Context) error {
	for ; s.second <= uint64(time.Since(s.began)/time.Second); s.second++ {
		if err := s.fault(ctx, s.plan.Session(s.number, s.second)); err != nil {
			return err
		}
	}
	return nil
}

func (s *unsteady) fault(ctx context.Context, a fault.Action) error {
	if a == fault.None {
		return nil
	}
	s.met.faults.WithLabelValues(a.String()).Inc()
	var silent time.Duration
	switch a {
	case fault.CutSession:
		return errCut
	case fault.SendGarbage:
		return s.emit([]Event{{Garbage: []byte(garbage)}})
	case fault.HangSession:
		silent = s.plan.HangFor
	case fault.DelaySession:
		silent = s.plan.DelayFor
	}
	s.second += uint64(silent / time.Second)
	if !sleep(ctx, silent) {
		return ctx.Err()
	}
	return nil
}

// sleep waits for d; it is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
