package scatter_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
	"quotes/src/scatter"
)

var errDown = errors.New("down")

func after(d time.Duration, n int, err error) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		select {
		case <-time.After(d):
			return n, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func TestEveryTargetHasOneRow(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var targets []scatter.Target[int]
			var want []scatter.State
			for i := range 1 + r.IntN(8) {
				tg := scatter.Target[int]{Name: fmt.Sprint(i)}
				switch r.IntN(4) {
				case 0:
					tg.Call = after(time.Duration(r.IntN(900))*time.Millisecond, i, nil)
					want = append(want, scatter.OK)
				case 1:
					tg.Call = after(time.Duration(r.IntN(900))*time.Millisecond, 0, errDown)
					want = append(want, scatter.Failed)
				case 2:
					tg.Call = after(time.Hour, 0, nil)
					want = append(want, scatter.Failed)
				default:
					b, err := breaker.New(breaker.Config{Name: tg.Name})
					require.NoError(t, err)
					b.Trip()
					tg.Breaker, tg.Call = b, func(context.Context) (int, error) { panic("must not be asked") }
					want = append(want, scatter.Skipped)
				}
				targets = append(targets, tg)
			}
			began := time.Now()
			rows := scatter.Gather(ctx, targets)
			require.LessOrEqual(t, time.Since(began), time.Second)
			require.Len(t, rows, len(targets))
			for i, row := range rows {
				require.Equal(t, want[i], row.State, "seed %d target %d", seed, i)
				require.Equal(t, targets[i].Name, row.Name)
				require.Equal(t, row.State == scatter.OK, row.Err == nil)
				if row.State == scatter.OK {
					require.Equal(t, i, row.Answer)
				}
			}
		})
	}
}

func TestAHungTargetOpensItsBreakerAndThenCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := breaker.New(breaker.Config{Name: "hung", ConsecutiveFailures: 2, OpenFor: time.Hour, OpenMax: time.Hour})
		require.NoError(t, err)
		targets := []scatter.Target[int]{{Name: "hung", Breaker: b, Call: after(time.Hour, 0, nil)}, {Name: "well", Call: after(time.Millisecond, 1, nil)}}
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.Equal(t, scatter.Failed, scatter.Gather(ctx, targets)[0].State)
			synctest.Wait() // the hung call has seen its deadline
			cancel()
		}
		began := time.Now()
		rows := scatter.Gather(t.Context(), targets)
		require.Equal(t, scatter.Skipped, rows[0].State)
		require.ErrorIs(t, rows[0].Err, breaker.ErrOpen)
		require.Equal(t, scatter.OK, rows[1].State)
		require.Equal(t, time.Millisecond, time.Since(began))
	})
}

func TestTheRequestsOwnFaultIsNotTheTargets(t *testing.T) {
	b, err := breaker.New(breaker.Config{Name: "b", ConsecutiveFailures: 1})
	require.NoError(t, err)
	bad := errors.New("bad symbol")
	rows := scatter.Gather(t.Context(), []scatter.Target[int]{{Name: "b", Breaker: b, Call: after(0, 0, bad), Fault: func(err error) bool { return !errors.Is(err, bad) }}})
	require.Equal(t, scatter.Failed, rows[0].State)
	require.Equal(t, breaker.Closed, b.State())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	scatter.Gather(ctx, []scatter.Target[int]{{Name: "b", Breaker: b, Call: after(time.Hour, 0, nil)}})
	require.Equal(t, breaker.Closed, b.State(), "a caller that gives up is no failure")
}
