package breaker_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

const (
	ok  = breaker.Success
	bad = breaker.Failure
	no  = breaker.Ignored
)

func TestOpensOnItsRules(t *testing.T) {
	type config = breaker.Config
	for name, c := range map[string]struct {
		cfg      config
		outcomes []breaker.Outcome
		rule     string
	}{
		"in a row":            {config{ConsecutiveFailures: 3}, []breaker.Outcome{bad, bad, ok, bad, bad, bad}, "consecutive_failures"},
		"rate at the minimum": {config{MinCalls: 4}, []breaker.Outcome{ok, bad, ok, bad}, "failure_rate"},
		"below the minimum":   {config{MinCalls: 5}, []breaker.Outcome{bad, bad, bad, bad}, ""},
		"a success never":     {config{MinCalls: 4}, []breaker.Outcome{bad, bad, bad, ok}, ""},
		"the failure after":   {config{MinCalls: 4}, []breaker.Outcome{bad, bad, bad, ok, bad}, "failure_rate"},
		"below the rate":      {config{MinCalls: 2, FailureRate: 0.6}, []breaker.Outcome{ok, bad, ok, bad, ok, bad}, ""},
		"old calls fall out":  {config{Window: 4, MinCalls: 4}, []breaker.Outcome{bad, ok, ok, ok, ok, bad}, ""},
		"a rate above 1":      {config{FailureRate: 2, MinCalls: 1, SlowRate: 2}, []breaker.Outcome{bad, bad, bad, bad}, ""},
		"canceled is neither": {config{ConsecutiveFailures: 2}, []breaker.Outcome{bad, no, no, bad}, "consecutive_failures"},
		"only canceled":       {config{ConsecutiveFailures: 1, MinCalls: 1}, []breaker.Outcome{no, no, no, no}, ""},
		"by default":          {config{}, []breaker.Outcome{ok, ok, ok, ok, ok, bad, bad, bad, bad, bad}, "failure_rate"},
		"default minimum":     {config{}, []breaker.Outcome{bad, bad, bad, bad, bad, bad, bad, bad, bad}, ""},
		"in a time window":    {config{WindowTime: time.Second}, []breaker.Outcome{ok, ok, ok, ok, ok, bad, bad, bad, bad, bad}, "failure_rate"},
	} {
		t.Run(name, func(t *testing.T) {
			b, l := guard(t, c.cfg)
			call(t, b, c.outcomes...)
			if c.rule == "" {
				require.Equal(t, breaker.Closed, b.State())
				return
			}
			require.Equal(t, []string{"closed>open " + c.rule}, l.words())
			refused(t, b)
		})
	}
}

func TestTimeWindowForgetsWhatIsOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := guard(t, breaker.Config{WindowTime: 10 * time.Second, MinCalls: 4})
		call(t, b, bad, bad, bad)
		time.Sleep(5 * time.Second)
		call(t, b, ok)
		require.EqualValues(t, 4, b.Snapshot().Counts.Calls)
		time.Sleep(6 * time.Second)
		require.EqualValues(t, 1, b.Snapshot().Counts.Calls, "the three failures are too old")
		require.Zero(t, b.Snapshot().Counts.Failures)
		call(t, b, ok, bad)
		require.Empty(t, l.words())
		call(t, b, bad)
		require.Equal(t, []string{"closed>open failure_rate"}, l.words())
		time.Sleep(time.Hour)
		require.EqualValues(t, 6, b.Snapshot().Totals.Successes+b.Snapshot().Totals.Failures-1, "totals forget nothing")
	})
}

func TestSlowCallsOpen(t *testing.T) {
	for name, cfg := range map[string]breaker.Config{
		"count":   {MinCalls: 2, SlowCall: 10 * time.Millisecond, SlowRate: 1},
		"time":    {MinCalls: 2, SlowCall: 10 * time.Millisecond, SlowRate: 1, WindowTime: time.Minute},
		"expired": {MinCalls: 2, Lease: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, l := guard(t, cfg)
				slow := acquire(t, b, 2)
				time.Sleep(10 * time.Millisecond)
				for _, p := range slow {
					p.Done(ok)
				}
				require.Equal(t, []string{"closed>open slow_rate"}, l.words())
				require.EqualValues(t, 2, l.list()[0].Counts.Slow)
				require.EqualValues(t, 2, b.Snapshot().Totals.Successes)
			})
		})
	}
}

func TestOperatorsWordLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := guard(t, breaker.Config{ConsecutiveFailures: 1})
		b.Trip()
		b.Trip()
		time.Sleep(time.Hour)
		require.EqualError(t, refusal(t, b), "breaker b is forced-open")
		b.Disable()
		call(t, b, bad, bad, bad)
		require.Equal(t, breaker.Disabled, b.State())
		require.EqualValues(t, 3, b.Snapshot().Counts.Failures, "a disabled breaker still counts")
		b.Reset()
		require.Zero(t, b.Snapshot().Counts.Failures)
		call(t, b, bad)
		b.Reset()
		call(t, b, ok)
		b.Reset()
		require.Zero(t, b.Snapshot().Counts.Calls, "a closed one forgets too")
		require.Equal(t, []string{
			"closed>forced-open tripped", "forced-open>disabled disabled", "disabled>closed reset",
			"closed>open consecutive_failures", "open>closed reset", "closed>closed reset",
		}, l.words())
	})
}

func TestDo(t *testing.T) {
	b, _ := guard(t, breaker.Config{ConsecutiveFailures: 100})
	require.NoError(t, breaker.Do(t.Context(), b, func(context.Context) error { return nil }))
	require.ErrorIs(t, breaker.Do(t.Context(), b, func(context.Context) error { return errDown }), errDown)
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, breaker.Do(ctx, b, func(context.Context) error { cancel(); return errDown }), errDown)
	ctx, cancel = context.WithTimeout(t.Context(), -1)
	defer cancel()
	require.Error(t, breaker.Do(ctx, b, func(ctx context.Context) error { return ctx.Err() }))
	require.Equal(t, breaker.Totals{Successes: 1, Failures: 2, Ignored: 1}, b.Snapshot().Totals, "a deadline that passes is a failure")
	b.Trip()
	require.ErrorIs(t, breaker.Do(t.Context(), b, func(context.Context) error { panic("called") }), breaker.ErrOpen)
}

// TestEveryPermitCountsOnce has callers, an operator and a reader at once.
func TestEveryPermitCountsOnce(t *testing.T) {
	for name, cfg := range map[string]breaker.Config{
		"count": {Window: 10, ConsecutiveFailures: 3, OpenFor: time.Microsecond, Trials: 3},
		"time":  {WindowTime: time.Second, ConsecutiveFailures: 3, OpenFor: time.Microsecond, Trials: 3},
	} {
		t.Run(name, func(t *testing.T) {
			b, l := guard(t, cfg)
			var made, refusals atomic.Uint64
			var callers, others sync.WaitGroup
			end := make(chan struct{})
			for range 8 {
				callers.Go(func() {
					for range 5_000 {
						p, err := b.Acquire()
						if err != nil {
							refusals.Add(1)
							continue
						}
						made.Add(1)
						p.Done(breaker.Outcome(rand.N(3)))
					}
				})
			}
			others.Go(func() {
				for {
					select {
					case <-end:
						return
					default:
						[]func(){b.Trip, b.Disable, b.Reset}[rand.N(3)]()
					}
				}
			})
			others.Go(func() {
				for before := b.Snapshot().Totals; ; {
					now := b.Snapshot().Totals
					if now.Successes < before.Successes || now.Failures < before.Failures || now.Late < before.Late {
						t.Errorf("totals shrink: %+v, %+v", before, now)
					}
					before = now
					select {
					case <-end:
						return
					default:
					}
				}
			})
			callers.Wait()
			close(end)
			others.Wait()
			n := b.Snapshot().Totals
			require.Equal(t, made.Load(), n.Successes+n.Failures+n.Ignored+n.Late)
			require.Equal(t, refusals.Load(), n.Refused)
			for i, tr := range l.list() {
				require.EqualValues(t, i+1, tr.Generation, "told in order, none twice, none left out")
			}
		})
	}
}

func TestWrongConfigIsRefused(t *testing.T) {
	type config = breaker.Config
	for name, cfg := range map[string]config{
		"name": {}, "window": {Window: -1}, "huge window": {Window: 10_001}, "short time": {WindowTime: 1}, "long time": {WindowTime: 2 * time.Hour},
		"minimum": {Window: 5, MinCalls: 6}, "no minimum": {MinCalls: -1}, "rate": {FailureRate: -1}, "slow rate": {SlowRate: -1},
		"row": {ConsecutiveFailures: -1}, "slow": {SlowCall: -1}, "slower than the lease": {SlowCall: time.Hour}, "lease": {Lease: -1},
		"cap": {OpenFor: time.Minute, OpenMax: time.Second}, "open": {OpenFor: -1}, "retry": {RetryAfterMax: -1}, "trials": {Trials: -1},
		"probe": {ProbeEvery: -1}, "timeout": {ProbeTimeout: -1}, "idle": {IdleAfter: -1},
	} {
		if name != "name" {
			cfg.Name = "b"
		}
		_, err := breaker.New(cfg)
		require.Error(t, err, name)
	}
	_, err := breaker.New(config{Name: "b", Window: 3})
	require.NoError(t, err, "the minimum's default fits a small window")
}

func TestRetryAfterLengthensTheOpenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := guard(t, breaker.Config{ConsecutiveFailures: 2, OpenFor: time.Second, OpenMax: time.Second, RetryAfterMax: time.Hour})
		later := acquire(t, b, 1)[0]
		require.Equal(t, breaker.Counted, later.DoneAfter(bad, time.Minute))
		time.Sleep(20 * time.Second)
		call(t, b, bad)
		require.Equal(t, 40*time.Second, l.list()[0].OpenFor, "what was said before holds")
		require.Equal(t, 40*time.Second, refusal(t, b).RetryAfter())
		time.Sleep(40*time.Second - 1)
		refused(t, b)
		time.Sleep(time.Nanosecond)
		require.ErrorIs(t, breaker.Do(t.Context(), b, func(context.Context) error { return errors.Join(errDown, busy(100*time.Hour)) }), errDown)
		require.Equal(t, time.Hour, l.list()[2].OpenFor, "but no longer than allowed")
		time.Sleep(time.Hour)
		call(t, b, bad)
		require.InDelta(t, time.Second, l.list()[4].OpenFor, float64(time.Second)/5, "and only that once")
	})
}

// busy is an error of a server that says how long.
type busy time.Duration

func (busy) Error() string               { return "busy" }
func (b busy) RetryAfter() time.Duration { return time.Duration(b) }
