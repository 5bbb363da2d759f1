package breaker_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

// probed makes a breaker with a probe, opens it and runs it.
func probed(t *testing.T, cfg breaker.Config, probe func(context.Context) error) (*breaker.Breaker, *log) {
	t.Helper()
	cfg.ConsecutiveFailures = 1
	cfg.Probe = probe
	b, l := guard(t, cfg)
	call(t, b, bad)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		_ = b.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return b, l
}

func TestProbeDecidesAndCallersAreNoGuineaPigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		var probes, together atomic.Int32
		b, l := probed(t, breaker.Config{OpenMax: 2 * time.Second}, func(ctx context.Context) error {
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
		})
		time.Sleep(20 * time.Second)
		refused(t, b) // the open time is long over, but no probe has passed
		require.Greater(t, probes.Load(), int32(5))
		require.Equal(t, "down", b.Snapshot().ProbeError)
		up.Store(true)
		time.Sleep(3 * time.Second)
		require.Equal(t, breaker.HalfOpen, b.State())
		n := probes.Load()
		time.Sleep(time.Minute)
		require.Equal(t, n, probes.Load(), "no probes when it is not open")
		call(t, b, ok)
		require.Equal(t, []string{"closed>open consecutive_failures", "open>half-open probe_passed", "half-open>closed trials_passed"}, l.words())
		s := b.Snapshot()
		require.EqualValues(t, n, s.Totals.Probes)
		require.EqualValues(t, n-1, s.Totals.ProbeFailures)
		require.Empty(t, s.ProbeError)
	})
}

func TestProbesBackOffAndHeedRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		probed(t, breaker.Config{OpenMax: 4 * time.Second, ProbeEvery: 3 * time.Second, IdleAfter: time.Hour}, func(context.Context) error {
			if at = append(at, time.Now()); len(at) == 4 {
				return busy(time.Minute)
			}
			return errDown
		})
		began := time.Now()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for i, want := range []time.Duration{1, 3, 4, 4} {
			require.InDelta(t, want*time.Second, at[i].Sub(began), float64(want*time.Second)/5, i)
			began = at[i]
		}
		require.Equal(t, time.Minute, at[4].Sub(at[3]))
	})
}

func TestNoProbesWhenNobodyWantsToCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int32
		b, _ := probed(t, breaker.Config{IdleAfter: 10 * time.Second, OpenMax: time.Second}, func(context.Context) error {
			probes.Add(1)
			return errDown
		})
		for range 100 {
			time.Sleep(300 * time.Millisecond)
			refused(t, b)
		}
		busy := probes.Load()
		require.Greater(t, busy, int32(20), "somebody asks")
		time.Sleep(time.Hour)
		idle := probes.Load() - busy
		require.LessOrEqual(t, idle, int32(13), "nobody asks: they end")
		refused(t, b)
		time.Sleep(time.Millisecond)
		require.Equal(t, busy+idle+1, probes.Load(), "the next one who asks starts them at once")
		time.Sleep(5 * time.Second)
		require.Greater(t, probes.Load(), busy+idle+3, "and they go on")
	})
}

func TestProbeThatPanicsOrVanishesHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int32
		b, _ := probed(t, breaker.Config{}, func(context.Context) error {
			switch probes.Add(1) {
			case 1:
				panic("oops")
			case 2:
				runtime.Goexit()
			}
			return nil
		})
		said := []string{""}
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			if now := b.Snapshot().ProbeError; now != said[len(said)-1] {
				said = append(said, now)
			}
		}
		require.Equal(t, breaker.HalfOpen, b.State())
		require.Equal(t, []string{"", "probe panicked: oops", "probe ended its goroutine", ""}, said)
		call(t, b, ok)
		require.Equal(t, breaker.Closed, b.State())
	})
}

func TestProbeThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		var probes atomic.Int32
		b, _ := probed(t, breaker.Config{Lease: 10 * time.Second}, func(context.Context) error {
			if probes.Add(1) == 1 {
				<-release // whatever its deadline
			}
			return nil
		})
		time.Sleep(10 * time.Second)
		require.EqualValues(t, 1, probes.Load(), "until its lease ends there is no other")
		time.Sleep(10 * time.Second)
		require.EqualValues(t, 2, probes.Load())
		require.Equal(t, breaker.HalfOpen, b.State())
	})
}

func TestRunEndsDuringAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := guard(t, breaker.Config{ConsecutiveFailures: 1, Probe: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		call(t, b, bad)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began := time.Now()
		require.NoError(t, b.Run(ctx))
		require.Equal(t, 1500*time.Millisecond, time.Since(began))
		require.Zero(t, b.Snapshot().Totals.Probes, "that it was ended says nothing")

		idle, _ := guard(t, breaker.Config{})
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, idle.Run(ctx), "without a probe it only waits")
	})
}

func TestOperatorOverrulesTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := probed(t, breaker.Config{}, func(context.Context) error {
			time.Sleep(500 * time.Millisecond)
			return nil
		})
		time.Sleep(1300 * time.Millisecond)
		b.Trip()
		time.Sleep(time.Minute)
		require.Equal(t, breaker.ForcedOpen, b.State(), "the probe was under way, and passed")
		require.Len(t, l.words(), 2)
	})
}
