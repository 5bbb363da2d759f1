package prober_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
	"quotes/hack/e2e/prober"
	"quotes/src/cluster"
	"quotes/src/placement"
	"quotes/src/quote"
)

const patience = 30 * time.Second

var symbols = []quote.Symbol{"A", "B", "C", "D"}

// probed is a running cluster under a prober.
type probed struct {
	*cluster.Cluster
	seen *history.Recorder
}

func start(t *testing.T) *probed {
	t.Helper()
	c, err := cluster.New(cluster.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	ready, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, c.StartAll(ready))
	t.Cleanup(func() { require.NoError(t, c.StopAll()) })

	file, err := os.Create(filepath.Join(t.TempDir(), "history.jsonl"))
	require.NoError(t, err)
	seen := history.NewRecorder(file, 0)
	p, err := prober.New(prober.Config{
		Aggregator: c.Addr(cluster.Aggregator), Broker: c.Addr(cluster.Broker), Symbols: symbols, History: seen,
		Rate: 10, // what the race detector bears on a busy machine
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
		_, err := file.Seek(0, 0)
		require.NoError(t, err)
		written, err := history.Read(file)
		require.NoError(t, err)
		require.Len(t, written, len(seen.Events()), "the file has all")
		require.NoError(t, file.Close())
	})
	return &probed{c, seen}
}

// count waits until so many reports of each path were answered, counted from a moment, and ok holds for the last one.
func (p *probed) count(t *testing.T, from time.Time, each int, ok func(history.Event) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		n := map[string]int{}
		for _, e := range p.seen.Events() {
			if e.Kind == history.Report && !e.At.Before(from) && ok(e) {
				n[e.Path]++
			}
		}
		return min(n[prober.TCPNew], n[prober.TCPKept], n[prober.HTTPNew], n[prober.HTTPKept]) >= each
	}, patience, 20*time.Millisecond)
}

// contiguous waits until the subscriber has got some frames, and judges them.
func (p *probed) contiguous(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return !errors.Is(judge.Contiguous(p.seen.Events(), history.Window{}, 200), judge.ErrTooFew)
	}, patience, 20*time.Millisecond)
	require.NoError(t, judge.Contiguous(p.seen.Events(), history.Window{}, 200))
}

func whole(e history.Event) bool { return e.Class == "" && e.Coverage == 1 && e.State == quote.Live }

func TestALostShardIsNotSeenAndTwoAre(t *testing.T) {
	p := start(t)
	p.count(t, time.Now(), 20, whole)
	began := time.Now()
	p.count(t, began, 20, whole)
	require.NoError(t, p.Stop("shard-0"))
	p.count(t, time.Now(), 20, whole)
	w := history.Window{From: began, To: time.Now()}
	require.NoError(t, judge.Whole(p.seen.Events(), w, 120))

	require.NoError(t, p.Stop("shard-1"))
	shards, err := placement.ParseShards(p.Shards())
	require.NoError(t, err)
	table, err := placement.New(shards, 2)
	require.NoError(t, err)
	lack := map[quote.Symbol]int{}
	for _, s := range symbols {
		if slot := placement.Slot(string(s)); !table.Owns(2, slot) {
			lack[s] = slot
		}
	}
	require.NotEmpty(t, lack)
	p.count(t, time.Now(), 10, func(e history.Event) bool { return e.Coverage == 0 && len(e.Missing) == 1 })
	settled := time.Now()
	p.count(t, settled, 20, func(e history.Event) bool { return e.Class == "" })
	w = history.Window{From: settled, To: time.Now()}
	require.NoError(t, judge.Covered(p.seen.Events(), w, lack, 80))
	require.Error(t, judge.Whole(p.seen.Events(), w, 80), "the judge sees what is missing")
	p.contiguous(t)
}

func TestAnExchangeThatIsGoneAndAnAggregatorThatIsGone(t *testing.T) {
	p := start(t)
	p.count(t, time.Now(), 20, whole)
	gone := time.Now()
	require.NoError(t, p.Stop(cluster.External))
	stale := func(e history.Event) bool { return e.State == quote.Stale }
	p.count(t, gone, 5, stale)
	bound := time.Since(gone) // what this machine took: only the judge is tested here
	p.count(t, time.Now(), 20, stale)
	turn := judge.Turn{
		Since: gone, Bound: bound, Until: time.Now(), State: quote.Stale, Reasons: []quote.Reason{quote.FeedSilent, quote.BreakerOpen},
		Feed: true, Symbols: symbols, Least: 60,
	}
	require.NoError(t, judge.Turned(p.seen.Events(), turn))
	require.NoError(t, p.Start(cluster.External))
	p.count(t, time.Now(), 20, whole)
	require.NoError(t, judge.Ordered(p.seen.Events(), history.Window{}, 50))

	gone = time.Now()
	require.NoError(t, p.Stop(cluster.Aggregator))
	p.count(t, gone, 5, func(e history.Event) bool { return e.Class != "" })
	require.NoError(t, p.Start(cluster.Aggregator))
	back := time.Now()
	p.count(t, back, 20, whole)
	p.contiguous(t)
	w := history.Window{From: gone, To: time.Now()}
	require.Error(t, judge.Answered(p.seen.Events(), w, 10), "the judge sees it")
	require.NoError(t, judge.AnsweredBut(p.seen.Events(), w, patience, 10))
	classes := map[history.Class]int{}
	for _, e := range p.seen.Events() {
		if e.Kind == history.Report {
			classes[e.Class]++
		}
	}
	require.NotZero(t, classes[history.Dial], "%v", classes)
	require.NotZero(t, classes[history.NotReached], "%v", classes)
}

// core and broker restarted: the feed's seqs add up over both.
func TestTheFeedAddsUpOverRestarts(t *testing.T) {
	p := start(t)
	p.count(t, time.Now(), 20, whole)
	for _, name := range []string{cluster.Core, cluster.Broker} {
		require.NoError(t, p.Stop(name))
		p.count(t, time.Now(), 20, func(e history.Event) bool { return e.Class == "" })
		require.NoError(t, p.Start(name))
		p.count(t, time.Now(), 20, whole)
	}
	require.Eventually(t, func() bool { return len(judge.Gaps(p.seen.Events(), history.Window{})) > 0 }, patience, 20*time.Millisecond, "what the broker missed is named")
	p.contiguous(t)
	epochs := map[uint64]bool{}
	for _, e := range p.seen.Events() {
		if e.Topic == "quotes.A" && e.Epoch > 0 {
			epochs[e.Epoch] = true
		}
	}
	require.Len(t, epochs, 2)
}
