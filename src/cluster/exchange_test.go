package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/cluster"
	"quotes/src/exchange/fault"
	"quotes/src/quote"
	"quotes/src/wire"
)

func allLive(w *watcher) bool { return all(w, quote.Live) }

func all(w *watcher, state quote.State) bool {
	for _, s := range symbols {
		if w.quality(s).State != state {
			return false
		}
	}
	return true
}

// Through outages, cuts and garbage: every price is live, stale with a reason, recovering, live again, and no record is
// missing from anybody's view.
func TestPricesSayWhetherTheyCanBeTrusted(t *testing.T) {
	c := start(t, cluster.Config{Seed: 5, Faults: &fault.Config{Garbage: 0.05, Cut: 0.02, Delay: 0.05, DelayFor: 200 * time.Millisecond}})
	early := watch(t, c.Addr(cluster.Broker))
	eventually(t, "live at first", func() bool { return allLive(early) })
	for range 3 {
		c.Exchange().Outage(1500 * time.Millisecond)
		eventually(t, "stale in the outage", func() bool { return all(early, quote.Stale) })
		eventually(t, "for the open breaker", func() bool { return early.quality("A").Reason == quote.BreakerOpen })
		r, err := report(t, c, "A", 1)
		require.NoError(t, err, "reports go on")
		require.Equal(t, quote.Stale, r.CurrentPrice.Quality.State)
		require.NotNil(t, r.CurrentPrice.Quality.AgeMS)
		eventually(t, "live again", func() bool { return allLive(early) })
	}
	late := watch(t, c.Addr(cluster.Broker))
	eventually(t, "a late subscriber sees it too", func() bool { return allLive(late) })
	for s, states := range with(early, func() map[quote.Symbol][]quote.Quality { return early.states }) {
		var before quote.Quality
		stale := 0
		for _, q := range states {
			// A session that was silent and speaks again may say so: it is still the one that refreshed the price.
			require.False(t, before.Reason == quote.BreakerOpen && q.State == quote.Live, "%s: live again without recovering: %v", s, states)
			require.Equal(t, q.State == quote.Stale, q.Reason != "", "a stale price says why, and only it")
			if q.State == quote.Stale && before.State != quote.Stale {
				stale++
			}
			before = q
		}
		require.GreaterOrEqual(t, stale, 3)
	}
	breakers := statusCore(early)
	require.Subset(t, breakers, []string{"closed>open", "open>half-open", "half-open>closed"})
}

// statusCore lists the exchange breaker's transitions that were published.
func statusCore(w *watcher) (out []string) {
	for _, r := range with(w, func() []wire.Record { return w.seen[quote.StatusCore] }) {
		var tr struct{ Breaker, From, To string }
		f := wire.Frame{Type: wire.TypePublish, Payload: r.Payload}
		if f.Decode(&tr) == nil && tr.Breaker == "exchange" {
			out = append(out, tr.From+">"+tr.To)
		}
	}
	return out
}

// A hang is seen though the connection stays open.
func TestASilentExchangeMakesPricesStale(t *testing.T) {
	c := start(t, cluster.Config{})
	w := watch(t, c.Addr(cluster.Broker))
	eventually(t, "live", func() bool { return allLive(w) })
	c.Exchange().Hang(3 * time.Second)
	eventually(t, "stale", func() bool { return all(w, quote.Stale) })
	states := with(w, func() []quote.Quality { return w.states["A"] })
	require.Equal(t, quote.FeedSilent, states[len(states)-1].Reason, "first for the silence")
	eventually(t, "then for the breaker", func() bool { return w.quality("A").Reason == quote.BreakerOpen })
	eventually(t, "live again", func() bool { return allLive(w) })
}

// What was published is what history has, byte for byte and in order.
func TestHistoryIsWhatWasPublished(t *testing.T) {
	c := start(t, cluster.Config{Rate: 100})
	w := watch(t, c.Addr(cluster.Broker))
	eventually(t, "some hundred records", func() bool { return w.records() > 1000 })
	require.NoError(t, c.Stop(cluster.External))
	eventually(t, "stale", func() bool { return all(w, quote.Stale) && w.quality("A").Reason == quote.BreakerOpen })
	settled(t, c)
	for _, s := range symbols {
		for _, kind := range []quote.Kind{quote.Quotes, quote.Trades} {
			topic := quote.TopicOf(kind, s)
			seen := with(w, func() []wire.Record { return w.seen[topic] })
			require.NotEmpty(t, seen)
			stored := history(t, c, s, kind)
			require.Equal(t, seen, stored[seen[0].Seq-1:], topic)
			require.EqualValues(t, 1, stored[0].Seq)
		}
		r, err := report(t, c, s, 1)
		require.NoError(t, err)
		require.NotEmpty(t, r.History)
		trades := history(t, c, s, quote.Trades)
		var newest quote.Trade
		f := wire.Frame{Payload: trades[len(trades)-1].Payload}
		require.NoError(t, f.Decode(&newest))
		require.Equal(t, newest, r.History[0], "the newest trade comes first")
	}
}

// settled waits until everything is durable on both owners.
func settled(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	eventually(t, "durable on both owners", func() bool {
		for _, d := range durable(t, c) {
			if d.Both != d.One || d.Both == 0 {
				return false
			}
		}
		return true
	})
}
