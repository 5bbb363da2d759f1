package scatter_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
	"quotes/src/scatter"
)

var errDown = errors.New("down")

// rig is an engine over nodes that answer as they are told.
type rig struct {
	*scatter.Engine
	brk   []*breaker.Breaker
	took  []func() time.Duration // how long a call takes; negative: it fails after that
	calls []atomic.Int64
}

const ever = time.Hour

func newRig(t *testing.T, n int, cfg scatter.Config) *rig {
	t.Helper()
	cfg.MinDelay = cmp.Or(cfg.MinDelay, 2*time.Millisecond) // more than a healthy call takes
	r := &rig{took: make([]func() time.Duration, n), calls: make([]atomic.Int64, n)}
	for i := range n {
		b, err := breaker.New(breaker.Config{Name: fmt.Sprint(i), ConsecutiveFailures: 3, OpenFor: time.Hour, OpenMax: time.Hour})
		require.NoError(t, err)
		r.brk = append(r.brk, b)
		r.is(i, time.Millisecond)
		cfg.Nodes = append(cfg.Nodes, scatter.NodeConfig{Name: fmt.Sprint(i), Breaker: b})
	}
	e, err := scatter.New(cfg)
	require.NoError(t, err)
	r.Engine = e
	return r
}

// is says how long a node takes from now on; negative: it fails after that.
func (r *rig) is(node int, took time.Duration) { r.took[node] = func() time.Duration { return took } }

func (r *rig) call(ctx context.Context, node int, _ []int) (int, error) {
	r.calls[node].Add(1)
	d, err := r.took[node](), error(nil)
	if d < 0 {
		d, err = -d, errDown
	}
	select {
	case <-time.After(d):
		return node, err
	case <-ctx.Done():
		return -1, ctx.Err()
	}
}

// ask gathers within a second.
func (r *rig) ask(t *testing.T, keys ...[]int) (scatter.Result[int], time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	res := scatter.Gather(ctx, r.Engine, scatter.Query[int]{Keys: keys, Call: r.call})
	return res, time.Since(began)
}

// warm lets the engine learn how long the nodes take, with n calls of pairs.
func (r *rig) warm(t *testing.T, n int) {
	for i := range n {
		a := i % len(r.took)
		r.ask(t, []int{a, (a + 1) % len(r.took)})
	}
}

// opens makes a node fail until its breaker is open.
func (r *rig) opens(t *testing.T, node int) {
	t.Helper()
	r.is(node, -time.Millisecond)
	for range 3 {
		r.ask(t, []int{node})
	}
	require.Equal(t, breaker.Open, r.brk[node].State())
}

func names(res scatter.Result[int], state scatter.State) (out []string) {
	for _, row := range res.Rows {
		if row.State == state {
			out = append(out, row.Name)
		}
	}
	return out
}
