package breaker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

func TestTrialsAfterTheOpenTimeCloseIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := guard(t, breaker.Config{ConsecutiveFailures: 1, Trials: 2})
		call(t, b, bad)
		time.Sleep(passed)
		require.Equal(t, breaker.Open, b.State(), "nobody has asked")
		trials := acquire(t, b, 2)
		require.EqualError(t, refusal(t, b), "breaker b is half-open", "never more than configured")
		require.Equal(t, 2, b.Snapshot().Limit)
		trials[0].Done(no)
		trials = append(trials, acquire(t, b, 1)...)
		refused(t, b)
		trials[1].Done(ok)
		require.Equal(t, breaker.HalfOpen, b.State(), "one canceled, one passed")
		trials[2].Done(ok)
		require.Equal(t, []string{"closed>open consecutive_failures", "open>half-open open_time_over", "half-open>closed trials_passed"}, l.words())
		require.EqualValues(t, 2, l.list()[2].Counts.Calls)
		require.Zero(t, b.Snapshot().Limit)
	})
}

func TestOpenTimeBacksOffToItsCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := guard(t, breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Second, OpenMax: 5 * time.Second})
		fails := func() (held time.Duration) {
			call(t, b, bad)
			all := l.list()
			require.Equal(t, breaker.Open, all[len(all)-1].To)
			return all[len(all)-1].OpenFor
		}
		var held []time.Duration
		for _, want := range []time.Duration{1, 2, 4, 5, 5} {
			held = append(held, fails())
			require.InDelta(t, want*time.Second, held[len(held)-1], float64(want*time.Second)/5)
			time.Sleep(held[len(held)-1] - 1)
			refused(t, b)
			time.Sleep(time.Nanosecond)
		}
		require.NotEqual(t, held[3], held[4], "jitter")
		call(t, b, ok)
		require.Equal(t, breaker.Closed, b.State())
		require.InDelta(t, time.Second, fails(), float64(time.Second)/5, "it starts anew once it has been closed")
	})
}

func TestRefusalsSayWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := guard(t, breaker.Config{ConsecutiveFailures: 1, OpenFor: 10 * time.Second})
		call(t, b, bad)
		began, held := time.Now(), l.list()[0].OpenFor
		for left := held; left > 0; left = held - time.Since(began) {
			require.Equal(t, left, refusal(t, b).RetryAfter())
			time.Sleep(min(7*time.Millisecond, left))
		}
		call(t, b, ok)
	})
}

// outage opens a breaker while so many calls are under way, and waits until it may try again.
func outage(t *testing.T, cfg breaker.Config, under int) (*breaker.Breaker, *log) {
	t.Helper()
	cfg.ConsecutiveFailures = 5
	b, l := guard(t, cfg)
	for _, p := range acquire(t, b, under) {
		p.Done(bad)
	}
	require.Equal(t, breaker.Open, b.State())
	time.Sleep(passed)
	return b, l
}

func TestRampFollowsTheConcurrencyAtTheTrip(t *testing.T) {
	for name, c := range map[string]struct {
		cfg    breaker.Config
		under  int
		limits []int
	}{
		"many":        {breaker.Config{}, 204, []int{2, 10, 50, 100, 200}},
		"some":        {breaker.Config{}, 64, []int{1, 3, 15, 30, 60}},
		"few":         {breaker.Config{}, 7, []int{1, 2, 3}},
		"one":         {breaker.Config{}, 5, []int{1}},
		"more trials": {breaker.Config{Trials: 20}, 64, []int{20, 30, 60}},
		"no ramp":     {breaker.Config{NoRamp: true}, 64, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, l := outage(t, c.cfg, c.under)
				for _, limit := range c.limits {
					trials := acquire(t, b, limit)
					refused(t, b)
					require.Equal(t, limit, b.Snapshot().Limit)
					for _, p := range trials {
						require.Equal(t, breaker.Counted, p.Done(ok))
					}
				}
				require.Equal(t, breaker.Closed, b.State())
				require.Len(t, l.words(), 3)
			})
		})
	}
}

func TestFailedStepLeadsAStepBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := outage(t, breaker.Config{}, 64)
		step := func(limit int, outcomes ...breaker.Outcome) {
			t.Helper()
			acquired := acquire(t, b, len(outcomes))
			require.Equal(t, limit, b.Snapshot().Limit)
			for i, p := range acquired {
				p.Done(outcomes[i])
			}
		}
		step(1, ok)
		step(3, ok, bad, ok)
		step(15, bad, ok, bad, ok, bad, ok, bad, ok, bad, ok, bad, ok, bad, ok, ok)
		step(30, ok, ok, ok, ok, ok, ok, bad, bad, bad, bad, bad)
		step(15, bad, bad, bad, bad, bad)
		step(3, bad, bad)
		step(1, ok)
		step(3, bad, bad)
		require.Equal(t, breaker.HalfOpen, b.State())
		step(1, bad)
		require.Equal(t, breaker.Open, b.State())
	})
}

func TestRampWithoutRulesStillStepsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := guard(t, breaker.Config{FailureRate: 2, SlowRate: 2, ConsecutiveFailures: 3})
		for _, p := range acquire(t, b, 7) {
			p.Done(bad)
		}
		time.Sleep(passed)
		call(t, b, ok)
		require.Equal(t, 2, b.Snapshot().Limit)
		call(t, b, bad, bad)
		require.Equal(t, 1, b.Snapshot().Limit)
	})
}

func TestTrialsOfAnEarlierReturnHoldTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := guard(t, breaker.Config{ConsecutiveFailures: 1, Trials: 3, Lease: 10 * time.Second})
		call(t, b, bad)
		time.Sleep(passed)
		first := acquire(t, b, 3)
		first[0].Done(bad)
		require.Equal(t, breaker.Open, b.State())
		time.Sleep(2 * passed)
		second := acquire(t, b, 1)
		refused(t, b)
		require.Equal(t, breaker.Late, first[1].Done(ok))
		second = append(second, acquire(t, b, 1)...)
		refused(t, b)
		time.Sleep(10*time.Second - 2*passed)
		require.Equal(t, breaker.HalfOpen, b.State())
		second = append(second, acquire(t, b, 1)...) // the lease of first[2] has ended
		refused(t, b)
		require.Equal(t, breaker.Expired, first[2].Done(ok))
		for _, p := range second {
			require.Equal(t, breaker.Counted, p.Done(ok))
		}
		require.Equal(t, breaker.Closed, b.State())
		require.EqualValues(t, 1, b.Snapshot().Totals.Expired)
		require.Len(t, l.words(), 5)
	})
}
