//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
	"quotes/src/quote"
)

// lookEvery is how often a condition is looked at.
const lookEvery = 100 * time.Millisecond

// within waits until ok has nothing to complain of, and returns when that was. It fails after the bound, which is the promise.
func (s *suite) within(t *testing.T, bound time.Duration, what string, ok func(context.Context) error) time.Time {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.ctx, bound)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last error
	for {
		err := ok(ctx)
		if err == nil {
			t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
			return time.Now()
		}
		if last == nil || ctx.Err() == nil { // the bound's own end says nothing
			last = err
		}
		select {
		case <-ctx.Done():
			s.interrupted(t)
			require.Fail(t, fmt.Sprintf("not within %v: %s", bound, what), "%v", last)
		case <-tick.C:
		}
	}
}

// fed complains of symbols whose live quotes the subscriber has not got since a moment.
func (s *suite) fed(events []history.Event, since time.Time) error {
	on := map[quote.Symbol]bool{}
	for i := range events {
		if e := &events[i]; e.Kind == history.Frame && e.State == quote.Live && e.At.After(since) {
			on[e.Symbol] = true
		}
	}
	for _, symbol := range s.symbols {
		if !on[symbol] {
			return fmt.Errorf("the subscriber gets no live quotes of %s", symbol)
		}
	}
	return nil
}

// calm complains where anything of the system is not as it should be: pods, slots, the reports and the feed of the last two
// seconds.
func (s *suite) calm(ctx context.Context) error {
	if err := s.allReady(ctx); err != nil {
		return err
	}
	for i := range shards {
		if err := s.inSync(ctx, i); err != nil {
			return err
		}
	}
	if err := s.seen.Err(); err != nil {
		return err
	}
	now := time.Now()
	last := judge.Turn{
		Since: now.Add(-2 * time.Second), Until: now.Add(-300 * time.Millisecond), State: quote.Live, Symbols: s.symbols, Least: 4 * rate,
	}
	events := s.seen.Events()
	if err := s.fed(events, last.Since); err != nil {
		return err
	}
	return errors.Join(
		judge.Turned(events, last), judge.Whole(events, history.Window{From: last.Since, To: last.Until}, last.Least))
}

// settled waits until the system is calm.
func (s *suite) settled(t *testing.T) {
	t.Helper()
	s.within(t, time.Minute, "all is settled", s.calm)
}

// hold lets the prober ask so many more reports on each path, whatever becomes of them.
func (s *suite) hold(t *testing.T, each int) history.Window {
	t.Helper()
	from := time.Now()
	s.within(t, time.Minute, fmt.Sprintf("%d reports on each path", each), func(context.Context) error {
		count := map[string]int{}
		for _, e := range s.seen.Events() {
			if e.Kind == history.Report && !e.At.Before(from) {
				count[e.Path]++
			}
		}
		for path, n := range count {
			if n < each {
				return fmt.Errorf("%d on %s", n, path)
			}
		}
		if len(count) < 4 {
			return fmt.Errorf("%d paths", len(count))
		}
		return nil
	})
	return history.Window{From: from, To: time.Now()}
}

// mark writes into the history what the suite does now, and returns when.
func (s *suite) mark(text string) time.Time {
	now := time.Now()
	s.seen.Add(history.Event{Kind: history.Mark, At: now, Text: text})
	return now
}

// concern says that the scenario of now replaces the pods of a component, or one pod.
func (s *suite) concern(names ...string) {
	for _, name := range names {
		s.concerned[name] = true
	}
}

// waitUntil lets real time pass up to a moment, with the prober at work.
func (s *suite) waitUntil(t *testing.T, at time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
		s.interrupted(t)
	}
}
