package cluster_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/cluster"
	"quotes/src/quote"
	"quotes/src/wire"
)

// patience bounds every wait; the promises themselves are much shorter, and logged.
const patience = 20 * time.Second

var symbols = []quote.Symbol{"A", "B", "C", "D"}

// start runs a cluster until the test ends.
func start(t *testing.T, cfg cluster.Config) *cluster.Cluster {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	c, err := cluster.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, c.StartAll(ctx))
	t.Cleanup(func() { require.NoError(t, c.StopAll()) })
	return c
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	began := time.Now()
	require.Eventually(t, ok, patience, 10*time.Millisecond, what)
	t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
}

// ask sends one request to a process on a connection of its own.
func ask(t *testing.T, addr, typ string, in, out any) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: addr})
	if err != nil {
		return err
	}
	defer s.Close()
	return wire.Decoded(ctx, s, typ, in, out)
}

func report(t *testing.T, c *cluster.Cluster, s quote.Symbol, minCoverage float64) (wire.Report, error) {
	t.Helper()
	var r wire.Report
	err := ask(t, c.Addr(cluster.Aggregator), wire.TypeReqReport, wire.ReqReport{Symbol: s, MinCoverage: minCoverage}, &r)
	return r, err
}

// inSync reports whether every slot of a shard is.
func inSync(t *testing.T, c *cluster.Cluster, shard string) bool {
	t.Helper()
	var st wire.Status
	if ask(t, c.Addr(shard), wire.TypeReqStatus, nil, &st) != nil || len(st.Slots) == 0 {
		return false
	}
	for _, s := range st.Slots {
		if !s.InSync {
			return false
		}
	}
	return true
}

func durable(t *testing.T, c *cluster.Cluster) map[quote.Topic]wire.Durable {
	t.Helper()
	return coreStatus(t, c).Durable
}

func coreStatus(t *testing.T, c *cluster.Cluster) (st wire.Status) {
	t.Helper()
	require.NoError(t, ask(t, c.Addr(cluster.Core), wire.TypeReqStatus, nil, &st))
	return st
}

// history pages through all records of some kinds of a symbol, by position.
func history(t *testing.T, c *cluster.Cluster, s quote.Symbol, kinds ...quote.Kind) (out []wire.Record) {
	t.Helper()
	limit := 500
	req := wire.ReqHist{Symbols: []quote.Symbol{s}, Kinds: kinds, After: map[quote.Topic]quote.Point{}, Limit: &limit}
	for {
		var resp wire.RespHist
		require.NoError(t, ask(t, c.Addr(cluster.Aggregator), wire.TypeReqHist, req, &resp))
		require.NotNil(t, resp.Coverage)
		require.InDelta(t, 1, *resp.Coverage, 0, "history of %s is incomplete: %v", s, resp.Missing)
		out = append(out, resp.Records...)
		if !resp.More {
			return out
		}
		require.NotEmpty(t, resp.Records, "more, and none sent")
		for _, r := range resp.Records {
			req.After[r.Topic] = r.Point()
		}
	}
}

// reporter asks for reports of all symbols, one after the other, until it is stopped.
type reporter struct {
	stop, done chan struct{}
	asked      atomic.Int64
	bad        []string
}

// reports begins to ask for reports with coverage 1.
func reports(t *testing.T, c *cluster.Cluster) *reporter {
	t.Helper()
	r := &reporter{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for i := 0; ; i++ {
			select {
			case <-r.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if _, err := report(t, c, symbols[i%len(symbols)], 1); err != nil && len(r.bad) < 10 {
				r.bad = append(r.bad, err.Error())
			}
			r.asked.Add(1)
		}
	}()
	return r
}

// end stops it and fails the test where a report was not whole, or too few were asked for to mean anything.
func (r *reporter) end(t *testing.T) {
	t.Helper()
	close(r.stop)
	<-r.done
	require.Empty(t, r.bad)
	require.Greater(t, r.asked.Load(), int64(20))
	t.Logf("%d reports, all whole", r.asked.Load())
}
