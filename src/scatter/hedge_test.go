package scatter_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
	"quotes/src/scatter"
)

func TestASlowCallIsHedgedAndTheLoserCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, scatter.Config{MinDelay: 2 * time.Millisecond})
		r.warm(t, 60) // of a millisecond each
		hedges := r.Totals().Hedges
		require.Zero(t, hedges, "nothing was slow")
		var once sync.Once
		canceled := false
		res := scatter.Gather(t.Context(), r.Engine, scatter.Query[int]{Keys: [][]int{{0, 1}}, Call: func(ctx context.Context, node int, keys []int) (int, error) {
			slow := false
			once.Do(func() { slow = true })
			if slow {
				<-ctx.Done()
				canceled = true
				return 0, ctx.Err()
			}
			return r.call(ctx, node, keys)
		}})
		synctest.Wait()
		require.True(t, canceled)
		require.Len(t, res.Rows, 2)
		require.ErrorIs(t, res.Rows[0].Err, scatter.ErrOutrun)
		require.Equal(t, scatter.Skipped, res.Rows[0].State)
		require.Equal(t, scatter.OK, res.Rows[1].State)
		require.True(t, res.Rows[1].Hedged)
		require.EqualValues(t, 1, r.Totals().Hedges)
		require.EqualValues(t, 1, r.Totals().Outrun)
		require.Equal(t, breaker.Closed, r.brk[0].State())
	})
}

func TestExtraCallsAreFivePercentAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, scatter.Config{})
		n := 0
		r.took[0] = func() time.Duration { // 1 in 4 calls of one replica is slow: hedging all would cost more
			if n++; n%4 == 0 {
				return 30 * time.Millisecond
			}
			return time.Millisecond
		}
		for range 2000 {
			r.warm(t, 1)
			got := r.Totals()
			require.LessOrEqual(t, float64(got.Hedges), 0.05*float64(got.Calls))
		}
		require.Greater(t, r.Totals().Hedges, uint64(20))
	})
}

func TestAHungNodeIsSuspectAndAskedLastUntilItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := true
		probes := 0
		b, err := breaker.New(breaker.Config{Name: "0", ConsecutiveFailures: 3, OpenFor: time.Hour, OpenMax: time.Hour})
		require.NoError(t, err)
		e, err := scatter.New(scatter.Config{Nodes: []scatter.NodeConfig{
			{Name: "0", Breaker: b, Probe: func(ctx context.Context) error {
				probes++
				if hung && probes < 3 {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}}, {Name: "1"}, {Name: "2"},
		}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = e.Run(ctx) }()
		asked := 0
		ask := func() time.Duration {
			began := time.Now()
			res := scatter.Gather(t.Context(), e, scatter.Query[int]{Keys: [][]int{{0, 1}}, Call: func(ctx context.Context, node int, _ []int) (int, error) {
				if node == 0 && hung {
					asked++
					<-ctx.Done()
					return 0, ctx.Err()
				}
				time.Sleep(time.Millisecond)
				return node, nil
			}})
			require.InDelta(t, 1, res.Coverage(), 0)
			return time.Since(began)
		}
		hung = false
		for range 30 {
			ask()
		}
		hung = true
		for range 40 {
			require.LessOrEqual(t, ask(), 5*time.Millisecond, "three times the p95 and one answer, at the worst")
		}
		require.Equal(t, 1, asked, "a suspect is asked last")
		require.True(t, e.Suspect(0))
		require.Equal(t, breaker.Closed, b.State())
		time.Sleep(2 * time.Second) // two probes hang, the third is answered
		require.False(t, e.Suspect(0))
		cancel()
		synctest.Wait()
	})
}

// A hedge that wins at once must not hide that the node says nothing at all.
func TestANodeWhoseCallsAreAlwaysOutrunIsSuspectAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, scatter.Config{Extra: 1})
		r.warm(t, 60)
		r.is(0, ever)
		before := r.calls[0].Load()
		for range 20 {
			_, took := r.ask(t, []int{0, 1})
			require.LessOrEqual(t, took, 3*time.Millisecond, "the hedge after 2 ms wins")
			time.Sleep(3 * time.Millisecond)
		}
		require.LessOrEqual(t, r.calls[0].Load()-before, int64(2))
		require.True(t, r.Suspect(0))
		time.Sleep(2 * time.Second)
		require.False(t, r.Suspect(0), "without a probe it gets a second chance")
	})
}

func TestAHungNodeOpensItsBreakerByProbesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := breaker.New(breaker.Config{Name: "0", ConsecutiveFailures: 3, OpenFor: time.Hour, OpenMax: time.Hour})
		require.NoError(t, err)
		e, err := scatter.New(scatter.Config{Nodes: []scatter.NodeConfig{{Name: "0", Breaker: b, Probe: func(context.Context) error { return errors.New("no") }}, {Name: "1"}}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = e.Run(ctx) }()
		for range 3 {
			scatter.Gather(t.Context(), e, scatter.Query[int]{Keys: [][]int{{0, 1}}, Call: func(ctx context.Context, node int, _ []int) (int, error) {
				if node == 0 {
					<-ctx.Done()
				}
				return 0, ctx.Err()
			}})
		}
		time.Sleep(time.Second)
		require.Equal(t, breaker.Open, b.State())
		cancel()
		synctest.Wait()
	})
}

// Whatever is thought of nodes and delays, coverage does not suffer for it.
func TestEveryOwnerIsAskedWhenHalfOfTheTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, scatter.Config{MinDelay: time.Hour, FirstDelay: time.Hour}) // nothing is slow enough for a hedge
		r.is(0, ever)
		slow := 0
		for range 4 {
			res, took := r.ask(t, []int{0, 1})
			require.InDelta(t, 1, res.Coverage(), 0)
			require.LessOrEqual(t, took, 510*time.Millisecond)
			if took >= 500*time.Millisecond {
				slow++
			}
		}
		require.Positive(t, slow)
	})
}

func TestOfSuspectsTheOneThatSpokeLastIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, scatter.Config{})
		r.warm(t, 60)
		time.Sleep(time.Second)
		r.ask(t, []int{1}) // it spoke last
		r.is(0, 300*time.Millisecond)
		r.is(1, 300*time.Millisecond)
		go r.ask(t, []int{0})
		go r.ask(t, []int{1})
		time.Sleep(50 * time.Millisecond)
		require.True(t, r.Suspect(0) && r.Suspect(1))
		before := r.calls[0].Load()
		for range 4 {
			go r.ask(t, []int{0, 1})
		}
		time.Sleep(time.Millisecond)
		require.Equal(t, before, r.calls[0].Load())
		time.Sleep(2 * time.Second)
	})
}

func TestNothingIsHedgedWhileMostAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, scatter.Config{MinDelay: 2 * time.Millisecond})
		r.warm(t, 300)
		before := r.Totals()
		for i := range r.took {
			r.is(i, 50*time.Millisecond)
		}
		r.warm(t, 1000)
		after := r.Totals()
		extra := after.Hedges + after.Failovers - before.Hedges - before.Failovers
		require.LessOrEqual(t, float64(extra), 0.02*1000, "a few until it is seen, and while slow becomes normal")
	})
}

func TestWhoLeavesNoTimeSaysNothingOfTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := breaker.New(breaker.Config{Name: "0", ConsecutiveFailures: 3, OpenFor: time.Hour, OpenMax: time.Hour})
		require.NoError(t, err)
		ask := func(budget time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), budget)
			defer cancel()
			_, _, err := scatter.One(ctx, b, nil, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
			require.Error(t, err)
		}
		for range 10 {
			ask(time.Millisecond)
		}
		require.Equal(t, breaker.Closed, b.State())
		for range 3 {
			ask(100 * time.Millisecond)
		}
		require.Equal(t, breaker.Open, b.State())
	})
}
