package scatter_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
	"quotes/src/scatter"
)

// Whatever nodes do, each has one row, the rows add up, and what is called covered is what the answers cover: with second calls and
// without, with answers that come with an error, and with twins that outrun each other.
func TestEveryNodeHasOneRowAndCoverageIsTrue(t *testing.T) {
	hedged, outrun, partly := 0, 0, 0
	for seed := range uint64(600) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			n := 1 + rnd.IntN(8)
			r := newRig(t, n, scatter.Config{})
			if seed%2 == 0 {
				r.warm(t, 40*n) // it knows what is usual, and may make second calls
			}
			clear(r.calls)
			for i := range n {
				switch rnd.IntN(5) {
				case 0:
					r.is(i, -time.Duration(rnd.IntN(900)+1)*time.Millisecond)
				case 1:
					r.is(i, ever)
				case 2:
					r.brk[i].Trip()
				default:
					r.is(i, time.Duration(rnd.IntN(900))*time.Millisecond)
				}
			}
			incomplete, parts := make([]bool, n), make([]bool, n)
			for i := range incomplete {
				incomplete[i], parts[i] = rnd.IntN(3) == 0, rnd.IntN(3) == 0
			}
			keys := make([][]int, rnd.IntN(12))
			for k := range keys {
				keys[k] = rnd.Perm(n)[:1+rnd.IntN(min(n, 3))]
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			res := scatter.Gather(ctx, r.Engine, scatter.Query[int]{
				Keys: keys, Call: r.call, Complete: func(node, _ int) bool { return !incomplete[node] },
				Answered: func(node, key int) bool { return node >= 0 && parts[node] && key%2 == 0 },
				Again:    func(int, error) bool { return seed%3 == 0 },
			})
			require.LessOrEqual(t, time.Since(began), time.Second)
			checkRows(t, r, keys, incomplete, res)
			for i := range res.Rows {
				switch row := &res.Rows[i]; {
				case errors.Is(row.Err, scatter.ErrOutrun):
					outrun++
				case row.State == scatter.Failed && len(row.Answers) > 0:
					partly++
				case row.Hedged:
					hedged++
				}
			}
		})
	}
	require.Greater(t, min(hedged, outrun, partly), 20, "%d, %d, %d: it says too little", hedged, outrun, partly)
}

func checkRows(t *testing.T, r *rig, keys [][]int, incomplete []bool, res scatter.Result[int]) {
	t.Helper()
	seen := map[int]bool{}
	answered := make([]map[int]bool, len(keys))
	for _, row := range res.Rows {
		require.False(t, seen[row.Node], "one row a node")
		seen[row.Node] = true
		good := row.State == scatter.OK || row.State == scatter.Stale
		require.Equal(t, good, row.Err == nil, "what is not well has a reason")
		require.True(t, !good || len(row.Answers) > 0)
		for _, a := range row.Answers {
			require.Equal(t, row.Node, a.Value)
			require.True(t, row.State != scatter.OK || !incomplete[row.Node], "ok means complete")
			for _, k := range a.Keys {
				if answered[k] == nil {
					answered[k] = map[int]bool{}
				}
				require.Contains(t, keys[k], row.Node, "only owners are asked")
				answered[k][row.Node] = true
			}
		}
	}
	for node := range r.calls {
		require.True(t, r.calls[node].Load() == 0 || seen[node], "who was asked has a row")
	}
	for k, owners := range keys {
		complete := slices.ContainsFunc(owners, func(o int) bool { return answered[k][o] && !incomplete[o] })
		require.Equal(t, complete || len(answered[k]) == len(owners), res.Covered[k], "key %d", k)
	}
}

func TestTheFewestNodesThatCoverTheKeysAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, scatter.Config{})
		for range 20 {
			res, _ := r.ask(t, []int{0, 1}, []int{1, 2}, []int{1, 0})
			require.Equal(t, []string{"1"}, names(res, scatter.OK))
			res, _ = r.ask(t, []int{0, 1}, []int{1, 2}, []int{2, 0})
			require.Len(t, res.Rows, 2)
		}
	})
}

func TestBothOwnersAreAskedWhereOneIsNotComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, scatter.Config{})
		res := scatter.Gather(t.Context(), r.Engine, scatter.Query[int]{Keys: [][]int{{0, 1}, {2, 1}}, Call: r.call, Complete: func(node, k int) bool { return k == 1 }})
		require.InDelta(t, 1, res.Coverage(), 0)
		require.ElementsMatch(t, []string{"0", "1"}, names(res, scatter.Stale))
	})
}

func TestAnErrorMovesOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, scatter.Config{})
		r.is(0, -time.Millisecond)
		for range 8 {
			res, took := r.ask(t, []int{0, 1})
			require.Equal(t, []string{"1"}, names(res, scatter.OK))
			require.LessOrEqual(t, took, 2*time.Millisecond)
		}
		require.Equal(t, breaker.Open, r.brk[0].State())
		calls := r.calls[0].Load()
		res, took := r.ask(t, []int{0, 1})
		require.Equal(t, []string{"0"}, names(res, scatter.Skipped))
		require.ErrorIs(t, res.Rows[0].Err, breaker.ErrOpen)
		require.Equal(t, time.Millisecond, took, "an open breaker costs no time")
		require.Equal(t, calls, r.calls[0].Load())
	})
}

// A breaker without a probe becomes half-open when it is asked: looking whether it is open must not use up its trial.
func TestANodeWhoseOpenTimeIsOverIsTriedByTheNextQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, scatter.Config{})
		r.is(0, -time.Millisecond)
		for r.brk[0].State() != breaker.Open {
			r.ask(t, []int{0})
		}
		r.is(0, time.Millisecond)
		time.Sleep(2 * time.Hour)
		res, _ := r.ask(t, []int{0})
		require.Equal(t, []string{"0"}, names(res, scatter.OK))
		require.Equal(t, breaker.Closed, r.brk[0].State())
	})
}

func TestASecondChanceGoesPastTheBreakerWhereCoverageNeedsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, scatter.Config{})
		r.opens(t, 0)
		r.is(0, time.Millisecond)
		r.is(1, -time.Millisecond)
		again := func(int, error) bool { return true }
		res := scatter.Gather(t.Context(), r.Engine, scatter.Query[int]{Keys: [][]int{{0, 1}}, Call: r.call, Again: again})
		require.Equal(t, []string{"0"}, names(res, scatter.OK))
		require.Equal(t, []string{"1"}, names(res, scatter.Failed))
		r.is(0, ever)
		began := time.Now()
		res = scatter.Gather(t.Context(), r.Engine, scatter.Query[int]{Keys: [][]int{{0, 1}}, Call: r.call, Again: again})
		require.InDelta(t, 0, res.Coverage(), 0)
		require.ErrorIs(t, res.Rows[0].Err, breaker.ErrOpen)
		require.Less(t, time.Since(began), 200*time.Millisecond)
	})
}

// A node that is down for its load is not kept down by those who hope that it is back.
func TestSecondChancesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, scatter.Config{})
		r.opens(t, 0)
		r.is(0, ever)
		before := r.calls[0].Load()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				scatter.Gather(t.Context(), r.Engine, scatter.Query[int]{Keys: [][]int{{0}}, Call: r.call, Again: func(int, error) bool { return true }})
			})
		}
		all.Wait()
		require.EqualValues(t, 4, r.calls[0].Load()-before)
		r.brk[0].Trip()
		r.is(0, time.Millisecond)
		res := scatter.Gather(t.Context(), r.Engine, scatter.Query[int]{Keys: [][]int{{0}}, Call: r.call, Again: func(int, error) bool { return true }})
		require.Equal(t, []string{"0"}, names(res, scatter.Skipped), "an operator's word is not passed")
		require.EqualValues(t, 4, r.calls[0].Load()-before)
	})
}

// What came before a call failed counts: only the other keys are asked of their other owners.
func TestAnErrorTakesNothingFromWhatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, scatter.Config{})
		type got map[int]bool
		asked := map[int][]int{}
		q := scatter.Query[got]{
			Keys: [][]int{{0}, {0, 1}, {0, 1}, {0}},
			Call: func(_ context.Context, node int, keys []int) (got, error) {
				asked[node] = append(asked[node], keys...)
				if node == 1 {
					return got{2: true}, nil
				}
				return got{0: true, 1: true}, errDown
			},
			Answered: func(g got, key int) bool { return g[key] },
		}
		res := scatter.Gather(t.Context(), r.Engine, q)
		require.Equal(t, []bool{true, true, true, false}, res.Covered)
		require.Equal(t, map[int][]int{0: {0, 1, 2, 3}, 1: {2}}, asked)
		require.Equal(t, scatter.Failed, res.Rows[0].State)
		require.ErrorIs(t, res.Rows[0].Err, errDown)
		require.Equal(t, []int{0, 1}, res.Rows[0].Answers[0].Keys)
		require.Equal(t, scatter.OK, res.Rows[1].State)
	})
}

// Who is outrun is canceled at once, though others are still waited for.
func TestALoserIsCanceledBeforeTheGatheringEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, scatter.Config{Burst: 100, Extra: 1})
		r.warm(t, 60)
		r.is(2, 200*time.Millisecond)
		var lost []time.Duration
		var hung atomic.Bool
		began := time.Now()
		q := scatter.Query[int]{Keys: [][]int{{0, 1}, {2}}, Call: func(ctx context.Context, node int, keys []int) (int, error) {
			if node != 2 && !hung.Swap(true) { // the first of the two to be asked hangs
				<-ctx.Done()
				lost = append(lost, time.Since(began))
				return 0, ctx.Err()
			}
			return r.call(ctx, node, keys)
		}}
		res := scatter.Gather(t.Context(), r.Engine, q)
		took := time.Since(began)
		require.InDelta(t, 1, res.Coverage(), 0)
		require.GreaterOrEqual(t, took, 200*time.Millisecond)
		synctest.Wait()
		require.Len(t, lost, 1)
		require.Less(t, lost[0], took/2)
		require.Len(t, names(res, scatter.Skipped), 1)
	})
}

func TestTheQuestionsOwnFaultEndsItAndIsNotTheNodes(t *testing.T) {
	r := newRig(t, 2, scatter.Config{})
	bad := errors.New("bad symbol")
	for range 5 {
		res := scatter.Gather(t.Context(), r.Engine, scatter.Query[int]{
			Keys: [][]int{{0, 1}}, Fault: func(err error) bool { return !errors.Is(err, bad) },
			Call: func(context.Context, int, []int) (int, error) { return 0, bad },
		})
		require.Len(t, res.Rows, 1, "its twin would say the same")
		require.ErrorIs(t, res.Rows[0].Err, bad)
	}
	for i := range r.brk {
		require.Equal(t, breaker.Closed, r.brk[i].State())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.is(0, ever)
	for range 5 {
		scatter.Gather(ctx, r.Engine, scatter.Query[int]{Keys: [][]int{{0}}, Call: r.call})
	}
	require.Equal(t, breaker.Closed, r.brk[0].State(), "a caller that gives up is no failure")
}

func TestTheOwnerWithTheFewestCallsOutstandingIsAskedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, scatter.Config{FirstDelay: time.Minute})
		r.is(0, 500*time.Millisecond)
		go r.ask(t, []int{0})
		time.Sleep(time.Millisecond)
		for range 5 {
			res, _ := r.ask(t, []int{0, 1})
			require.Equal(t, []string{"1"}, names(res, scatter.OK))
		}
		time.Sleep(time.Second)
	})
}

// busy is an error of a server that says how long to leave it alone.
type busy struct{ time.Duration }

func (busy) Error() string               { return "busy" }
func (b busy) RetryAfter() time.Duration { return b.Duration }

func TestWhatANodeAsksForIsHeededByItsBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := breaker.New(breaker.Config{Name: "shard-0", ConsecutiveFailures: 1, OpenFor: time.Second})
		require.NoError(t, err)
		_, state, _ := scatter.One(t.Context(), b, nil, func(context.Context) (int, error) { return 0, busy{time.Minute} })
		require.Equal(t, scatter.Failed, state)
		time.Sleep(59 * time.Second)
		_, state, err = scatter.One(t.Context(), b, nil, func(context.Context) (int, error) { return 1, nil })
		require.Equal(t, scatter.Skipped, state)
		require.ErrorContains(t, err, "open")
	})
}
