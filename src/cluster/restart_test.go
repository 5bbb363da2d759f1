package cluster_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/cluster"
	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Each shard in turn is away, misses records, and comes back; the next one goes only when it is in sync. Reports are whole
// all the time, and nothing that was called durable is lost.
func TestEachShardMayBeAway(t *testing.T) {
	c := start(t, cluster.Config{Rate: 50})
	w := watch(t, c.Addr(cluster.Broker))
	everythingInSync(t, c)
	whole := reports(t, c)
	promised := map[quote.Topic]wire.Durable{}
	for i := range 3 {
		name := cluster.ShardName(i)
		maps.Copy(promised, durable(t, c))
		require.NoError(t, c.Stop(name))
		before := w.records()
		eventually(t, name+" has missed records", func() bool { return w.records() > before+300 })
		eventually(t, "records are durable on one", func() bool { return coreStatus(t, c).DurableOne > 0 })
		require.NoError(t, c.Start(name))
		eventually(t, name+" is in sync again", func() bool { return inSync(t, c, name) })
	}
	whole.end(t)
	settled(t, c)
	for _, s := range symbols {
		held := map[quote.Topic]*quote.Seqs{}
		for _, r := range history(t, c, s, quote.Quotes, quote.Trades) {
			if held[r.Topic] == nil {
				held[r.Topic] = &quote.Seqs{}
			}
			held[r.Topic].Add(r.Seq, r.Seq)
		}
		for topic, set := range held {
			require.GreaterOrEqual(t, set.Through(), promised[topic].One, "%s: durable records are gone", topic)
			require.Len(t, set.Spans(), 1, "%s has holes", topic)
		}
	}
	for topic, d := range durable(t, c) {
		require.Empty(t, d.Lost, topic)
	}
	eventually(t, "everything is durable on both", func() bool { return coreStatus(t, c).DurableOne == 0 })
}

// A volume is lost: reports stay whole while the shard has nothing and while it copies, and in the end it has all of its slots again.
func TestAWipedVolumeCostsNothing(t *testing.T) {
	dir := t.TempDir()
	c := start(t, cluster.Config{Dir: dir, Rate: 200})
	w := watch(t, c.Addr(cluster.Broker))
	everythingInSync(t, c)
	eventually(t, "history", func() bool { return w.records() > 5000 })
	whole := reports(t, c)
	const lost = "shard-1"
	require.NoError(t, c.Stop(lost))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, lost)))
	promised := durable(t, c)
	require.NoError(t, c.Start(lost))
	eventually(t, lost+" is in sync again", func() bool { return inSync(t, c, lost) })
	eventually(t, "reports", func() bool { return whole.asked.Load() > 40 })
	whole.end(t)
	settled(t, c)
	owns := 0
	for topic, d := range durable(t, c) {
		require.Empty(t, d.Lost, topic)
		held, limit := &quote.Seqs{}, 1000
		req := wire.ReqHist{Symbols: []quote.Symbol{topic.Symbol()}, Kinds: []quote.Kind{topic.Kind()}, After: map[quote.Topic]quote.Point{}, Limit: &limit}
		for more := true; more; {
			var resp wire.RespHist
			err := ask(t, c.Addr(lost), wire.TypeReqHist, req, &resp)
			if wire.CodeOf(err) == wire.Moved {
				break // it is not this shard's
			}
			require.NoError(t, err)
			for _, r := range resp.Records {
				held.Add(r.Seq, r.Seq)
				req.After[r.Topic] = r.Point()
			}
			if more = resp.More; !more {
				owns++
				require.GreaterOrEqual(t, held.Through(), promised[topic].Both, "%s: what was durable is on the new volume", topic)
			}
		}
	}
	require.Positive(t, owns)
}

func everythingInSync(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	eventually(t, "all shards in sync", func() bool { return inSync(t, c, "shard-0") && inSync(t, c, "shard-1") && inSync(t, c, "shard-2") })
}

// Two shards gone: the coverage is the true one, and what is missing is named.
func TestTwoShardsGone(t *testing.T) {
	c := start(t, cluster.Config{})
	everythingInSync(t, c)
	require.NoError(t, c.Stop("shard-0"))
	require.NoError(t, c.Stop("shard-1"))
	shards, err := placement.ParseShards(c.Shards())
	require.NoError(t, err)
	table, err := placement.New(shards, 2)
	require.NoError(t, err)
	for _, s := range symbols {
		slot := placement.Slot(string(s))
		want := 0.0
		if table.Owns(2, slot) {
			want = 1
		}
		eventually(t, string(s)+" has its true coverage", func() bool {
			r, err := report(t, c, s, 0)
			return err == nil && r.Coverage == want && (want == 1) == (len(r.Missing) == 0)
		})
		r, err := report(t, c, s, 0)
		require.NoError(t, err)
		require.Equal(t, r.Total, r.OK+r.Stale+r.Failed+r.Skipped)
		require.NotNil(t, r.CurrentPrice, "the price does not need the shards")
		if want == 1 {
			continue
		}
		require.Equal(t, []wire.Missing{{Slot: slot, Symbols: []quote.Symbol{s}}}, r.Missing)
		_, err = report(t, c, s, 1)
		require.ErrorIs(t, err, &wire.Error{Code: wire.LowCoverage})
		require.NotEmpty(t, wire.AsError(err).Report, "the error carries the report")
	}
	require.NoError(t, c.Start("shard-0"))
	require.NoError(t, c.Start("shard-1"))
	everythingInSync(t, c)
	settled(t, c)
}

// core away: prices say so. core back: a new epoch, subscribers go on, history continues.
func TestCoreMayBeRestarted(t *testing.T) {
	c := start(t, cluster.Config{})
	w := watch(t, c.Addr(cluster.Broker))
	eventually(t, "live", func() bool { return allLive(w) })
	everythingInSync(t, c)
	eventually(t, "a trade of A", func() bool { return with(w, func() int { return len(w.seen["trades.A"]) }) > 0 })
	require.NoError(t, c.Stop(cluster.Core))
	eventually(t, "subscribers are told", func() bool { return lastSource(w) == wire.SourceLost })
	var lost wire.Report
	eventually(t, "reports carry the last price, marked", func() bool {
		var err error
		lost, err = report(t, c, "A", 0)
		return err == nil && lost.CurrentPrice != nil && lost.CurrentPrice.Quality.Reason == quote.CoreLost
	})
	require.Equal(t, quote.Stale, lost.CurrentPrice.Quality.State)
	require.NotNil(t, lost.CurrentPrice.Quality.AgeMS)
	require.InDelta(t, 1, lost.Coverage, 0, "both owners united still cover everything")
	require.NotEmpty(t, lost.History)
	old := with(w, func() quote.Point { return w.last["quotes.A"] })

	require.NoError(t, c.Start(cluster.Core))
	eventually(t, "a new epoch", func() bool { return with(w, func() bool { return w.last["quotes.A"].Epoch > old.Epoch }) })
	eventually(t, "live again", func() bool { return allLive(w) && lastSource(w) == wire.SourceLive })
	everythingInSync(t, c)
	settled(t, c)
	epochs := map[uint64]bool{}
	for _, r := range history(t, c, "A", quote.Quotes) {
		epochs[r.Epoch] = true
	}
	require.Len(t, epochs, 2, "history goes on over the restart")
	require.Empty(t, with(w, func() []wire.Lost { return w.lost }))
}

// A core that is stopped calls every price stale, and the shards have that word too: also where nothing else was on its way.
func TestTheLastWordOfACoreIsStored(t *testing.T) {
	c := start(t, cluster.Config{Rate: 5})
	w := watch(t, c.Addr(cluster.Broker))
	eventually(t, "live", func() bool { return allLive(w) })
	settled(t, c)
	require.NoError(t, c.Stop(cluster.Core))
	for _, s := range symbols {
		eventually(t, string(s)+" ends stale", func() bool { // one that has not noticed core's end speaks for itself alone
			records := history(t, c, s, quote.Quotes)
			var q quote.Quote
			require.NoError(t, json.Unmarshal(records[len(records)-1].Payload, &q))
			return q.Quality.State == quote.Stale
		})
	}
}

func lastSource(w *watcher) string {
	return with(w, func() string {
		if len(w.sources) == 0 {
			return ""
		}
		return w.sources[len(w.sources)-1]
	})
}

// A core started while the exchange and the old core are gone still has prices, marked stale.
func TestARestartDuringAnOutageStillHasPrices(t *testing.T) {
	c := start(t, cluster.Config{})
	everythingInSync(t, c)
	settled(t, c)
	require.NoError(t, c.Stop(cluster.External))
	require.NoError(t, c.Stop(cluster.Core))
	require.NoError(t, c.Start(cluster.Core))
	eventually(t, "a stale price of every symbol", func() bool {
		for _, s := range symbols {
			r, err := report(t, c, s, 0)
			if err != nil || r.CurrentPrice == nil || r.CurrentPrice.Quality.State != quote.Stale || r.CurrentPrice.Quality.Reason == quote.CoreLost {
				return false
			}
		}
		return true
	})
}

// broker restarted: snapshots at once, holes named, subscribers resume by position.
func TestTheBrokerMayBeRestarted(t *testing.T) {
	c := start(t, cluster.Config{Rate: 50})
	w := watch(t, c.Addr(cluster.Broker))
	eventually(t, "live", func() bool { return allLive(w) })
	for range 2 {
		ups := with(w, func() int { return w.ups })
		before := with(w, func() int { return len(w.lost) })
		var missed quote.Point
		require.NoError(t, c.Stop(cluster.Broker))
		stopped := with(w, func() quote.Point { return w.last["quotes.A"] })
		eventually(t, "core has published meanwhile", func() bool {
			var q quote.Quote
			if ask(t, c.Addr(cluster.Core), wire.TypeReqQuote, wire.ReqQuote{}, &q) != nil {
				return false
			}
			missed = quote.Point{Epoch: q.Epoch, Seq: q.Seq}
			return missed.Seq > stopped.Seq+20
		})
		require.NoError(t, c.Start(cluster.Broker))
		eventually(t, "resumed", func() bool { return with(w, func() int { return w.ups }) > ups })
		eventually(t, "gone on", func() bool { return with(w, func() bool { return w.last["quotes.A"].Seq > missed.Seq }) })
		lost := with(w, func() []wire.Lost { return w.lost[before:] })
		require.NotEmpty(t, lost, "the hole is named")
		named := false
		for _, l := range lost {
			if l.Topic == "quotes.A" {
				named = true
				require.Equal(t, stopped, l.After)
				require.NotNil(t, l.Count)
				require.Equal(t, l.Before.Seq-l.After.Seq-1, *l.Count)
			}
		}
		require.True(t, named)
		fresh := watch(t, c.Addr(cluster.Broker))
		eventually(t, "a new subscriber has snapshots", func() bool { return allLive(fresh) })
	}
	settled(t, c)
	var lost []wire.Lost
	with(w, func() bool { lost = append(lost, w.lost...); return true })
	for _, l := range lost { // REQ_HIST fills every hole
		if l.Topic.Symbol() == "" {
			continue
		}
		limit := 5000
		var resp wire.RespHist
		require.NoError(t, ask(t, c.Addr(cluster.Aggregator), wire.TypeReqHist, wire.ReqHist{
			Symbols: []quote.Symbol{l.Topic.Symbol()}, Kinds: []quote.Kind{l.Topic.Kind()},
			After: map[quote.Topic]quote.Point{l.Topic: l.After}, Before: map[quote.Topic]quote.Point{l.Topic: l.Before}, Limit: &limit,
		}, &resp))
		require.Len(t, resp.Records, int(*l.Count))
	}
}

// Both owners of a slot are away for longer than the buffer holds: the loss is counted and named, for ever.
func TestWhatNobodyCouldStoreIsNamed(t *testing.T) {
	cfg := cluster.Config{Rate: 500}
	cfg.Core.Buffer = 64 << 10
	c := start(t, cfg)
	w := watch(t, c.Addr(cluster.Broker))
	everythingInSync(t, c)
	for i := range 3 {
		require.NoError(t, c.Stop(cluster.ShardName(i)))
	}
	lostOf := func() (n uint64) {
		for _, d := range durable(t, c) {
			for _, l := range d.Lost {
				n += l.Last - l.First + 1
			}
		}
		return n
	}
	eventually(t, "core gives up records, and says so", func() bool { return lostOf() > 100 })
	for i := range 3 {
		require.NoError(t, c.Start(cluster.ShardName(i)))
	}
	everythingInSync(t, c)
	require.NoError(t, c.Stop(cluster.External))
	eventually(t, "stale", func() bool { return all(w, quote.Stale) && w.quality("A").Reason == quote.BreakerOpen })
	settled(t, c)
	for topic, d := range durable(t, c) {
		held := &quote.Seqs{}
		for _, r := range history(t, c, topic.Symbol(), topic.Kind()) {
			held.Add(r.Seq, r.Seq)
		}
		missing := held.Missing(1, d.Both)
		require.Len(t, missing, len(d.Lost), topic)
		for i, l := range d.Lost {
			require.Equal(t, quote.Span{First: l.First, Last: l.Last}, missing[i], "%s: exactly what was named is missing", topic)
		}
	}
}

// A second core is the only one from its first word on.
func TestANewerCoreFencesTheOlderOne(t *testing.T) {
	c := start(t, cluster.Config{})
	w := watch(t, c.Addr(cluster.Broker))
	eventually(t, "live", func() bool { return allLive(w) })
	epoch := with(w, func() uint64 { return w.last["quotes.A"].Epoch })
	s, err := wire.Dial(t.Context(), wire.DialConfig{Addr: c.Addr("shard-0")})
	require.NoError(t, err)
	defer s.Close()
	var welcome wire.Welcome
	require.NoError(t, wire.Decoded(t.Context(), s, wire.TypeHello, wire.Hello{Role: "publisher", Epoch: epoch + 1, Instance: "other"}, &welcome))
	select {
	case <-c.Done(cluster.Core):
	case <-time.After(patience):
		require.Fail(t, "the older core goes on")
	}
	require.ErrorContains(t, c.Stop(cluster.Core), "fenced")
	require.NoError(t, c.Start(cluster.Core))
	eventually(t, "the next one is above both", func() bool { return with(w, func() bool { return w.last["quotes.A"].Epoch > epoch+1 }) })
}
