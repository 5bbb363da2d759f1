package breaker_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

var errDown = errors.New("down")

// guard makes a breaker and collects its transitions.
func guard(t *testing.T, cfg breaker.Config) (*breaker.Breaker, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	cfg.Name = "b"
	if cfg.OnTransition == nil {
		cfg.OnTransition = func(tr breaker.Transition) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, tr.From.String()+">"+tr.To.String()+" "+tr.Rule)
		}
	}
	b, err := breaker.New(cfg)
	require.NoError(t, err)
	return b, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), seen...)
	}
}

func call(t *testing.T, b *breaker.Breaker, o breaker.Outcome) {
	t.Helper()
	p, err := b.Acquire()
	require.NoError(t, err)
	require.Equal(t, breaker.Counted, p.Done(o))
}

func TestOpensOnItsRules(t *testing.T) {
	for name, c := range map[string]struct {
		cfg      breaker.Config
		outcomes []breaker.Outcome
		rule     string
	}{
		"consecutive":         {breaker.Config{ConsecutiveFailures: 3}, []breaker.Outcome{0, 1, 1, 1}, "consecutive_failures"},
		"rate at the minimum": {breaker.Config{MinCalls: 4, FailureRate: 0.5}, []breaker.Outcome{1, 0, 1, 0}, "failure_rate"},
		"below the minimum":   {breaker.Config{MinCalls: 5, FailureRate: 0.5}, []breaker.Outcome{1, 1, 1, 1}, ""},
		"old calls fall out":  {breaker.Config{Window: 4, MinCalls: 4, FailureRate: 0.5}, []breaker.Outcome{1, 0, 0, 0, 0, 1}, ""},
		"ignored is neither":  {breaker.Config{ConsecutiveFailures: 2}, []breaker.Outcome{1, 2, 2, 1}, "consecutive_failures"},
		"only ignored":        {breaker.Config{ConsecutiveFailures: 1, MinCalls: 1}, []breaker.Outcome{2, 2, 2, 2}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, seen := guard(t, c.cfg)
			for _, o := range c.outcomes {
				call(t, b, o)
			}
			if c.rule == "" {
				require.Equal(t, breaker.Closed, b.State())
				return
			}
			require.Equal(t, []string{"closed>open " + c.rule}, seen())
			_, err := b.Acquire()
			require.ErrorIs(t, err, breaker.ErrOpen)
		})
	}
}

func TestSlowCallsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, seen := guard(t, breaker.Config{MinCalls: 2, SlowCall: 10 * time.Millisecond, SlowRate: 1})
		for range 2 {
			p, err := b.Acquire()
			require.NoError(t, err)
			time.Sleep(11 * time.Millisecond)
			p.Done(breaker.Success)
		}
		require.Equal(t, []string{"closed>open slow_rate"}, seen())
	})
}

func TestTrialsAfterTheOpenTimeCloseIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, seen := guard(t, breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Second, Trials: 2})
		call(t, b, breaker.Failure)
		time.Sleep(1200 * time.Millisecond) // the open time with its jitter
		first, err := b.Acquire()
		require.NoError(t, err)
		second, err := b.Acquire()
		require.NoError(t, err)
		_, err = b.Acquire()
		require.ErrorIs(t, err, breaker.ErrOpen, "never more trials than configured")
		first.Done(breaker.Success)
		require.Equal(t, breaker.HalfOpen, b.State())
		second.Done(breaker.Success)
		require.Equal(t, []string{"closed>open consecutive_failures", "open>half-open open_time_over", "half-open>closed trials_passed"}, seen())
	})
}

func TestHungTrialFreesItsSlotByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := guard(t, breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Second, Lease: 5 * time.Second})
		call(t, b, breaker.Failure)
		time.Sleep(2 * time.Second)
		hung, err := b.Acquire()
		require.NoError(t, err)
		_, err = b.Acquire()
		require.ErrorIs(t, err, breaker.ErrOpen)
		time.Sleep(5 * time.Second)
		next, err := b.Acquire()
		require.NoError(t, err, "the lease has ended")
		require.Equal(t, breaker.Expired, hung.Done(breaker.Success), "its late success closes nothing")
		require.Equal(t, breaker.HalfOpen, b.State())
		next.Done(breaker.Success)
		require.Equal(t, breaker.Closed, b.State())
		require.EqualValues(t, 1, b.Snapshot().Totals.Expired)
	})
}

func TestLateResultsMoveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := guard(t, breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Second})
		var old []breaker.Permit
		for range 10 {
			p, err := b.Acquire()
			require.NoError(t, err)
			old = append(old, p)
		}
		call(t, b, breaker.Failure)
		time.Sleep(2 * time.Second)
		trial, err := b.Acquire()
		require.NoError(t, err)
		for _, p := range old {
			require.Equal(t, breaker.Late, p.Done(breaker.Success))
		}
		require.Equal(t, breaker.HalfOpen, b.State())
		trial.Done(breaker.Failure)
		require.Equal(t, breaker.Open, b.State())
		require.EqualValues(t, 10, b.Snapshot().Totals.Late)
	})
}

func TestOpenTimeBacksOffToItsCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var held []time.Duration
		b, _ := guard(t, breaker.Config{
			ConsecutiveFailures: 1, OpenFor: time.Second, OpenMax: 4 * time.Second,
			OnTransition: func(tr breaker.Transition) {
				mu.Lock()
				defer mu.Unlock()
				if tr.To == breaker.Open {
					held = append(held, tr.OpenFor)
				}
			},
		})
		call(t, b, breaker.Failure)
		for range 3 {
			time.Sleep(5 * time.Second)
			call(t, b, breaker.Failure)
		}
		for i, want := range []time.Duration{1, 2, 4, 4} {
			require.InDelta(t, want*time.Second, held[i], float64(want*time.Second)/5)
		}
	})
}

func TestProbeDecidesAndCallersAreNoGuineaPigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var up atomic.Bool
		var probes, together atomic.Int32
		b, seen := guard(t, breaker.Config{
			ConsecutiveFailures: 1, OpenFor: time.Second, OpenMax: 2 * time.Second, ProbeTimeout: time.Second,
			Probe: func(ctx context.Context) error {
				require.EqualValues(t, 1, together.Add(1), "one probe at a time")
				defer together.Add(-1)
				if probes.Add(1) == 1 {
					<-ctx.Done() // the first one hangs: its own deadline ends it
					return ctx.Err()
				}
				if !up.Load() {
					return errDown
				}
				return nil
			},
		})
		go func() { _ = b.Run(ctx) }()
		call(t, b, breaker.Failure)
		time.Sleep(20 * time.Second)
		_, err := b.Acquire()
		require.ErrorIs(t, err, breaker.ErrOpen, "the open time is long over, but no probe has passed")
		require.Greater(t, probes.Load(), int32(5))
		up.Store(true)
		time.Sleep(3 * time.Second)
		require.Equal(t, breaker.HalfOpen, b.State())
		n := probes.Load()
		time.Sleep(time.Minute)
		require.Equal(t, n, probes.Load(), "no probes when it is not open")
		call(t, b, breaker.Success)
		require.Equal(t, []string{"closed>open consecutive_failures", "open>half-open probe_passed", "half-open>closed trials_passed"}, seen())
	})
}

func TestOperatorsWordLasts(t *testing.T) {
	b, seen := guard(t, breaker.Config{ConsecutiveFailures: 1})
	b.Trip()
	b.Trip()
	_, err := b.Acquire()
	require.ErrorIs(t, err, breaker.ErrOpen)
	b.Disable()
	for range 10 {
		call(t, b, breaker.Failure)
	}
	require.Equal(t, breaker.Disabled, b.State())
	b.Reset()
	call(t, b, breaker.Failure)
	require.Equal(t, []string{"closed>forced-open tripped", "forced-open>disabled disabled", "disabled>closed reset", "closed>open consecutive_failures"}, seen())
}

func TestListenerMayCallBack(t *testing.T) {
	var b *breaker.Breaker
	var states []breaker.State
	b, _ = guard(t, breaker.Config{ConsecutiveFailures: 1, OnTransition: func(tr breaker.Transition) {
		states = append(states, b.State())
		_ = b.Snapshot()
		if tr.To == breaker.Open {
			b.Reset()
		}
	}})
	call(t, b, breaker.Failure)
	require.Equal(t, []breaker.State{breaker.Open, breaker.Closed}, states)
}

func TestDo(t *testing.T) {
	b, _ := guard(t, breaker.Config{ConsecutiveFailures: 100})
	require.NoError(t, breaker.Do(t.Context(), b, func(context.Context) error { return nil }))
	require.ErrorIs(t, breaker.Do(t.Context(), b, func(context.Context) error { return errDown }), errDown)
	ctx, cancel := context.WithCancel(t.Context())
	_ = breaker.Do(ctx, b, func(context.Context) error { cancel(); return ctx.Err() })
	require.Panics(t, func() { _ = breaker.Do(t.Context(), b, func(context.Context) error { panic("x") }) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = breaker.Do(context.Background(), b, func(context.Context) error { runtime.Goexit(); return nil })
	}()
	<-done
	got := b.Snapshot().Totals
	require.Equal(t, breaker.Totals{Successes: 1, Failures: 3, Ignored: 1}, got)
}

func TestManyGoroutinesAtTheMomentOfOpening(t *testing.T) {
	b, seen := guard(t, breaker.Config{ConsecutiveFailures: 3, OpenFor: time.Hour, OpenMax: time.Hour})
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if p, err := b.Acquire(); err == nil {
				p.Done(breaker.Failure)
			}
		})
	}
	wg.Wait()
	require.Equal(t, []string{"closed>open consecutive_failures"}, seen())
}

func TestTransitionJSON(t *testing.T) {
	tr := breaker.Transition{
		Breaker: "exchange", From: breaker.Closed, To: breaker.Open, Rule: "failure_rate",
		At: time.Date(2026, 11, 23, 14, 0, 0, 1000, time.UTC), Generation: 1, Counts: breaker.Counts{Calls: 3, Failures: 2},
	}
	got, err := json.Marshal(tr)
	require.NoError(t, err)
	require.JSONEq(t, `{"breaker":"exchange","from":"closed","to":"open","rule":"failure_rate","at":"2026-11-23T14:00:00.000001Z",
		"counts":{"calls":3,"failures":2,"slow":0,"consecutive_failures":0},"generation":1}`, string(got))
}

func TestWrongConfigIsRefused(t *testing.T) {
	for name, cfg := range map[string]breaker.Config{
		"name": {}, "window": {Name: "b", Window: -1}, "minimum": {Name: "b", Window: 5, MinCalls: 6}, "rate": {Name: "b", FailureRate: -1},
		"cap": {Name: "b", OpenFor: time.Minute, OpenMax: time.Second}, "trials": {Name: "b", Trials: -1},
	} {
		_, err := breaker.New(cfg)
		require.Error(t, err, name)
	}
}
