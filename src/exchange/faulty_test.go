package exchange

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"quotes/src/exchange/fault"
	"quotes/src/quote"
)

// steady is a [Source] that says one thing each [Beat].
type steady struct{}

func (steady) Quotes(context.Context, []string) ([]quote.Quote, error) {
	return make([]quote.Quote, 1), nil
}

func (steady) Stream(ctx context.Context, emit func([]Event) error) error {
	for {
		if err := emit([]Event{{Topic: "quotes.A"}}); err != nil {
			return err
		}
		if !sleep(ctx, Beat) {
			return ctx.Err()
		}
	}
}

// unsteadily wraps a steady source.
func unsteadily(c fault.Config, seed uint64) *faulty {
	met := newMetrics(prometheus.NewRegistry())
	plan := fault.NewPlan(c, seed)
	return &faulty{Source: steady{}, plan: plan, gate: newGate(plan, met), met: met}
}

// trace is what some sessions and requests are like, one after the other, in fake time.
func trace(t *testing.T, c fault.Config, seed uint64) (out []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := unsteadily(c, seed)
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute-Beat/2)
			began := time.Now()
			err := f.Stream(ctx, func(events []Event) error {
				out = append(out, fmt.Sprint(time.Since(began), len(events[0].Garbage)))
				return nil
			})
			out = append(out, err.Error())
			cancel()
		}
		for range 50 {
			began := time.Now()
			_, err := f.Quotes(t.Context(), nil)
			out = append(out, fmt.Sprint(time.Since(began), err))
		}
	})
	return out
}

func TestSameSeedSameFaultsOnTheWire(t *testing.T) {
	c, err := fault.Preset(fault.Unstable)
	require.NoError(t, err)
	first := trace(t, c, 7)
	require.Equal(t, first, trace(t, c, 7))
	require.NotEqual(t, first, trace(t, c, 8))
	require.Contains(t, first, errCut.Error())
}

func TestEachFaultDoesWhatItSays(t *testing.T) {
	for name, c := range map[string]struct {
		fault.Config
		first time.Duration // when the first good burst comes
		err   error
		bad   bool // garbage came
	}{
		"calm":    {},
		"cut":     {Config: fault.Config{Cut: 1}, first: -1, err: errCut},
		"garbage": {Config: fault.Config{Garbage: 1}, bad: true},
		"delay":   {Config: fault.Config{Delay: 1, DelayFor: 300 * time.Millisecond}, first: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := unsteadily(c.Config, 1)
				ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
				defer cancel()
				began, first, bad := time.Now(), time.Duration(-1), false
				err := f.Stream(ctx, func(events []Event) error {
					if len(events[0].Garbage) > 0 {
						bad = true
					} else if first < 0 {
						first = time.Since(began)
					}
					return nil
				})
				if c.err == nil {
					c.err = context.DeadlineExceeded
				}
				require.ErrorIs(t, err, c.err)
				require.Equal(t, c.first, first)
				require.Equal(t, c.bad, bad)
			})
		})
	}
}

// A hang must not be cut short by what the seconds it takes would bring, nor bring the next one.
func TestAHangLastsAsLongAsItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := unsteadily(fault.Config{Hang: 0.5, Delay: 0.5, HangFor: 3 * time.Second, DelayFor: time.Millisecond}, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		last, hangs := time.Now(), 0
		_ = f.Stream(ctx, func([]Event) error {
			if gap := time.Since(last); gap > time.Second {
				require.InDelta(t, 3*time.Second, gap, float64(2*Beat))
				hangs++
			}
			last = time.Now()
			return nil
		})
		require.Greater(t, hangs, 5)
	})
}

func TestRequestsAreSlowAndFailAsPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := unsteadily(fault.Config{Delay: 1, DelayFor: time.Second}, 1).Quotes(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(began))
		_, err = unsteadily(fault.Config{Error: 1}, 1).Quotes(t.Context(), nil)
		require.ErrorContains(t, err, "bad moment")
	})
}

// An outage that somebody asked for lasts as long as they said, whatever the plan has in between.
func TestAPlannedOutageDoesNotEndAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(fault.NewPlan(fault.Config{OutageEvery: time.Minute, OutageFor: 8 * time.Second}, 1), newMetrics(prometheus.NewRegistry()))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.outages(ctx, slog.New(slog.DiscardHandler)) }()
		time.Sleep(40 * time.Second)
		g.outage(5 * time.Minute)
		time.Sleep(30 * time.Second) // the plan's own is over
		require.Equal(t, "outage", g.enter(&gatedConn{gate: g}))
		time.Sleep(5 * time.Minute)
		require.Empty(t, g.enter(&gatedConn{gate: g}))
		stop()
		require.NoError(t, <-done)
	})
}
