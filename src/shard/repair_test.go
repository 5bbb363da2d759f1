package shard

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

func TestAShardThatWasAwayCatchesUpBeforeItIsInSync(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	c.publish(20, r.symbols()...)
	c.flush()
	r.requireSynced(0, 1, 2)

	for away := range 3 {
		r.stop(away)
		c.cut(away)
		c.publish(40, r.symbols()...)
		c.flush()
		c.drop(away) // core's buffer was not large enough
		for other := range 3 {
			if other != away {
				r.requireSynced(other)
			}
		}
		r.start(away)
		in, _ := r.synced(away)
		require.Empty(t, in, "in sync before core said where it stands")
		c.connect(away)
		r.requireSynced(away)
		c.requireAll(away)
	}
}

func TestWhatCoreHasBufferedIsLeftToCore(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)
	c.publish(10, sym...)
	c.flush()
	r.requireSynced(0, 1, 2)

	topic := quote.TopicOf(quote.Quotes, sym[0])
	slot := placement.Slot(string(sym[0]))

	r.stop(1)
	c.cut(1)
	for range 10 { // 11 to 20 go to the twin alone, 21 to 30 to nobody yet
		c.one(topic)
	}
	c.flush()
	c.drop(1)
	for range 10 {
		c.one(topic)
	}
	r.start(1)
	c.connect(1)
	require.Eventually(t, func() bool { return r.up[1].state.holding(topic, 1000).held.Through() == 20 }, patience, often)
	_, out := r.synced(1)
	require.Contains(t, out, slot, "in sync with records missing")
	c.flush()
	r.requireSynced(0, 1, 2)
	c.requireAll(1)
}

func TestBothOwnersAwayAndBackInEitherOrder(t *testing.T) {
	for name, order := range map[string][]int{"first first": {0, 1}, "second first": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := newCore(r, 1000)
			c.connect(0, 1, 2)
			c.publish(10, r.symbols()...)
			c.flush()
			r.requireSynced(0, 1, 2)

			r.stop(0)
			c.cut(0)
			c.publish(10, r.symbols()...) // shard-1 alone gets these
			c.flush()
			c.drop(0)
			r.stop(1)
			c.cut(1)
			topic := quote.TopicOf(quote.Quotes, r.symbolsOf(0, 1, 1)[0])
			c.one(topic)
			c.one(topic)
			lost := c.lose(topic) // nobody ever gets these
			c.publish(5, r.symbols()...)
			c.flush()

			for _, i := range order {
				r.start(i)
				c.connect(i)
			}
			c.flush()
			r.requireSynced(0, 1, 2)
			require.Equal(t, uint64(21), lost.First)
			require.Equal(t, uint64(22), lost.Last)
			none := 0
			for _, i := range order {
				h := r.hist(i, wire.ReqHist{Symbols: []quote.Symbol{topic.Symbol()}, Limit: &none})
				require.Equal(t, []quote.Range{{Epoch: 1000, First: 1, Last: 20}, {Epoch: 1000, First: 23, Last: 27}}, h.Ranges[topic])
				require.Equal(t, []wire.LostRange{{Topic: topic, Epoch: 1000, First: 21, Last: 22}}, h.Lost)
			}
		})
	}
}

func TestAWipedVolumeIsRebuiltFromTheTwinsLossesIncluded(t *testing.T) {
	r := newRig(t)
	old := newCore(r, 900)
	old.connect(0, 1, 2)
	old.publish(30, r.symbols()...)
	old.flush()
	old.cut(0, 1, 2)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	c.publish(300, r.symbols()...)
	c.flush()
	topic := quote.TopicOf(quote.Trades, r.symbolsOf(0, 1, 1)[0])
	c.one(topic)
	c.lose(topic)
	c.one(topic)
	c.flush()
	r.requireSynced(0, 1, 2)

	c.cut(0)
	r.stop(0)
	r.wipe(0)
	r.start(0)
	c.connect(0)
	r.requireSynced(0)
	old.requireAll(0)
	for name := range c.log {
		if owners := c.owners(name); slices.Contains(owners, 0) {
			twin := owners[0] + owners[1]
			require.Equal(t, r.up[twin].state.holdings(name), r.up[0].state.holdings(name), name)
		}
	}
	require.Equal(t, []quote.Span{{First: 151, Last: 151}}, r.up[0].state.holding(topic, 1000).gone())
}

func TestANewEpochIsInSyncOnlyAfterTheOldOnesWereCompared(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	c.publish(20, r.symbols()...)
	c.flush()
	r.requireSynced(0, 1, 2)
	c.cut(0)
	c.publish(20, r.symbols()...)
	c.flush() // shard-0 is there, but core can't reach it
	c.cut(1, 2)

	next := newCore(r, 2000)
	r.stop(1)
	r.stop(2)
	next.connect(0)
	in, _ := r.synced(0)
	require.Empty(t, in, "in sync without having compared")
	r.start(1)
	r.start(2)
	// The twins are back and are copied from, but don't know the new epoch yet: an old core could still add to them.
	require.Eventually(t, func() bool { return c.holdsAll(0) }, patience, often)
	in, _ = r.synced(0)
	require.Empty(t, in, "in sync while a twin takes records of the old core")
	next.connect(1, 2)
	next.publish(5, r.symbols()...)
	next.flush()
	r.requireSynced(0, 1, 2)
	for i := range 3 {
		c.requireAll(i)
		next.requireAll(i)
	}
}

func TestWithCoreAwayATwinIsStillCopiedFrom(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	c.publish(20, r.symbols()...)
	c.flush()
	r.requireSynced(0, 1, 2)
	c.cut(0)
	c.publish(20, r.symbols()...)
	c.flush()
	c.cut(1, 2)
	require.Eventually(t, func() bool { return c.holdsAll(0) }, patience, often)
	for i := range 3 {
		in, _ := r.synced(i)
		require.Empty(t, in, "in sync without core")
	}
}

func TestASkippedSeqEndsInSyncUntilMended(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	syms := r.symbolsOf(0, 1, 1)
	c.publish(4, syms...)
	c.flush()
	r.requireSynced(0, 1, 2)
	slot := placement.Slot(string(syms[0]))

	c.publish(4, syms...)
	held := c.links[1].queue // the twin gets these later
	c.drop(0, 1)
	c.publish(1, syms...)
	c.flush()
	for _, i := range []int{0, 1} {
		_, out := r.synced(i)
		require.Equal(t, []int{slot}, out, "other slots are not concerned")
	}
	c.links[1].queue = held
	c.flush()
	r.requireSynced(0, 1, 2)
	c.requireAll(0)
	c.requireAll(1)
}

func TestStatusNamesPeersAndEpoch(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	r.requireSynced(0, 1, 2)
	s := r.session(0)
	defer s.Close()
	var st wire.Status
	reply, err := s.Do(within(t), wire.Frame{Type: wire.TypeReqStatus})
	require.NoError(t, err)
	require.NoError(t, reply.Decode(&st))
	require.Equal(t, "shard-0", st.Process)
	require.Equal(t, uint64(1000), st.Epoch)
	states := map[string]string{}
	for _, p := range st.Peers {
		states[p.Name] = p.State
	}
	require.Equal(t, map[string]string{"core": "up", "shard-1": "up", "shard-2": "up"}, states)
	require.WithinDuration(t, time.Now(), st.Since.Std(), time.Minute)
}

func TestWholeBlocksAreCopiedAsChunks(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)[0]
	c.publish(100, sym) // six blocks of 16, and four records
	c.flush()
	r.requireSynced(0, 1, 2)
	for i := range 2 {
		require.Eventually(t, func() bool { return r.up[i].unsealed(t) == 0 }, patience, often)
	}
	c.cut(0)
	r.stop(0)
	r.wipe(0)
	r.start(0)
	c.connect(0)
	r.requireSynced(0, 1, 2)
	c.requireAll(0)
	require.Equal(t, 150, int(testutil.ToFloat64(r.up[0].met.repaired)), "quotes and trades")
	require.Zero(t, testutil.ToFloat64(r.up[0].met.sealed), "nothing had to be sealed anew")
	require.Zero(t, r.up[0].unsealed(t))
}

// A page of chunks may end anywhere, also where a topic does.
func TestChunksAreCopiedPageByPage(t *testing.T) {
	r := newRig(t)
	r.tune = func(cfg *Config) { cfg.page = 1 } // one chunk
	for i := range 3 {
		r.stop(i)
		r.start(i)
	}
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	symbols := r.symbolsOf(0, 1, 3)
	c.publish(16, symbols...) // each of one block
	c.publish(48, symbols[0]) // and three more of one
	c.flush()
	r.requireSynced(0, 1, 2)
	require.Eventually(t, func() bool { return r.up[1].unsealed(t) == 0 }, patience, often)
	c.cut(0)
	r.stop(0)
	r.wipe(0)
	r.start(0)
	c.connect(0)
	r.requireSynced(0, 1, 2)
	c.requireAll(0)
	require.Zero(t, testutil.CollectAndCount(r.up[0].met.failures), "no round of repair has failed")
}

func TestWhichBlocksLieWithinARun(t *testing.T) {
	const size blocks = 4
	for _, c := range []struct{ first, last, from, to uint64 }{{1, 4, 0, 0}, {1, 8, 0, 1}, {2, 8, 1, 1}, {4, 13, 1, 2}, {5, 8, 1, 1}} {
		from, to, any := size.whole(c.first, c.last)
		require.True(t, any)
		require.Equal(t, []uint64{c.from, c.to}, []uint64{from, to}, "%d to %d", c.first, c.last)
	}
	for _, c := range []struct{ first, last uint64 }{{1, 3}, {2, 7}, {4, 4}, {1, 1}, {5, 5}} {
		_, _, any := size.whole(c.first, c.last)
		require.False(t, any, "%d to %d", c.first, c.last)
	}
}
