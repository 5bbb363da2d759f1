package core

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// disk is what a shard has, in the model: the truth that status must never overstate. acked is what it has said so of.
type disk struct {
	held, acked quote.Seqs
}

// Random appends, acknowledgements, losses of connections and overflows of the buffer: what status calls durable is on disk,
// and every record is on disk, waiting, or named as lost.
func TestTheLedgerNeverClaimsTooMuch(t *testing.T) {
	const topic = quote.Topic("quotes.A")
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 4))
		l := newRig(t, 1500).place
		h := l.home(topic)
		disks := map[int]*disk{h.owners[0]: {}, h.owners[1]: {}}
		flights := map[int][]*batch{}
		var seq uint64
		for range 120 {
			shard := h.owners[r.IntN(2)]
			switch r.IntN(8) {
			case 0, 1, 2:
				for range 1 + r.IntN(4) {
					seq++
					l.add(h, seq, []byte(`{"pad":"0123456789"}`))
				}
			case 3, 4:
				if b := l.take(shard); b != nil {
					flights[shard] = append(flights[shard], b)
				}
			case 5, 6: // the shard stores the oldest flight and says so
				if fs := flights[shard]; len(fs) > 0 {
					flights[shard] = fs[1:]
					d := disks[shard]
					for _, rec := range fs[0].records {
						d.held.Add(rec.seq, rec.seq)
						d.acked.Add(rec.seq, rec.seq)
					}
					l.stored(shard, fs[0], map[quote.Topic]quote.Point{topic: {Epoch: testEpoch, Seq: through(d, h)}}, testEpoch)
				}
			default: // the connection is cut: some of what was sent may be on disk all the same
				for _, b := range flights[shard] {
					for _, rec := range b.records {
						if r.IntN(2) == 0 {
							disks[shard].held.Add(rec.seq, rec.seq)
						}
					}
				}
				l.putBack(shard, flights[shard])
				flights[shard] = nil
			}
			checkLedger(t, l, h, disks, seq, fmt.Sprintf("seed %d", seed))
		}
	}
}

// through is what a shard answers: up to where everything is on its disk or named as lost.
func through(d *disk, h *placed) uint64 {
	var all quote.Seqs
	for _, s := range append(d.held.Spans(), h.lost.Spans()...) {
		all.Add(s.First, s.Last)
	}
	return all.Through()
}

func checkLedger(t *testing.T, l *ledger, h *placed, disks map[int]*disk, seq uint64, what string) {
	t.Helper()
	d := l.durable(testEpoch)[h.name]
	require.LessOrEqual(t, d.Both, d.One, what)
	require.LessOrEqual(t, d.One, seq, what)
	waiting := map[uint64]bool{}
	for _, shard := range h.owners {
		require.LessOrEqual(t, l.queues[shard].bytes, l.limit, what)
		for _, r := range l.queues[shard].records {
			waiting[r.seq] = true
		}
	}
	for q := uint64(1); q <= d.One; q++ {
		a, b := disks[h.owners[0]].held.Has(q), disks[h.owners[1]].held.Has(q)
		require.True(t, a || b || h.lost.Has(q), "%s: %d is called durable and is nowhere", what, q)
		if q <= d.Both {
			require.True(t, a && b || h.lost.Has(q), "%s: %d is called durable on both", what, q)
		}
	}
	var safe quote.Seqs
	for _, s := range h.lost.Spans() {
		safe.Add(s.First, s.Last)
		for q := s.First; q <= s.Last; q++ {
			require.False(t, waiting[q], "%s: %d is called lost and still waits", what, q)
			require.False(t, disks[h.owners[0]].acked.Has(q) || disks[h.owners[1]].acked.Has(q), "%s: %d is called lost, and is on disk", what, q)
		}
	}
	for _, d := range disks {
		for _, s := range d.acked.Spans() {
			safe.Add(s.First, s.Last)
		}
	}
	require.GreaterOrEqual(t, d.One, safe.Through(), "%s: less is called durable than was acknowledged", what)
}

func TestALossIsToldToBothOwners(t *testing.T) {
	l := newRig(t, 500).place
	h := l.home("trades.A")
	for seq := uint64(1); seq <= 50; seq++ {
		l.add(h, seq, []byte(`{"pad":"0123456789"}`))
	}
	lost := h.lost.Spans()
	require.Len(t, lost, 1)
	for _, shard := range h.owners {
		b := l.take(shard)
		require.Equal(t, []wire.LostRange{{Topic: "trades.A", First: 1, Last: lost[0].Last}}, b.lost, "one range, not fifty")
		require.Equal(t, lost[0].Last+1, b.records[0].seq)
		var a wire.Append
		require.NoError(t, json.Unmarshal(b.payload(1, testEpoch), &a))
		require.Equal(t, b.lost, a.Lost)
		require.Len(t, a.Records, len(b.records))
		require.EqualValues(t, testEpoch, a.Epoch)
		l.putBack(shard, []*batch{b})
		require.Equal(t, b.lost, l.take(shard).lost, "told again until it is acknowledged")
	}
}

func TestLossesOfManyTopicsInTurnsAreOneRangeEach(t *testing.T) {
	l := newRig(t, 500).place
	const topics, each = 40, 30
	for seq := uint64(1); seq <= each; seq++ {
		for i := range topics {
			l.add(l.home(quote.Topic(fmt.Sprintf("trades.S%d", i))), seq, []byte(`{"pad":"0123456789"}`))
		}
	}
	told := map[quote.Topic]int{}
	for i := range l.table.Shards() {
		for b := l.take(i); b != nil; b = l.take(i) {
			for _, r := range b.lost {
				told[r.Topic]++
			}
		}
		require.Empty(t, l.queues[i].runs, "nothing is kept of what was told")
	}
	require.Len(t, told, topics)
	for name, n := range told {
		require.Equal(t, 2, n, "%s: one range to each owner", name)
	}
}

func TestARestartedShardIsBelievedOnlyWhatItHolds(t *testing.T) {
	l := newRig(t, 1<<20).place
	h := l.home("quotes.A")
	for seq := uint64(1); seq <= 10; seq++ {
		l.add(h, seq, []byte(`{}`))
	}
	for _, shard := range h.owners {
		l.stored(shard, l.take(shard), map[quote.Topic]quote.Point{"quotes.A": {Epoch: testEpoch, Seq: 10}}, testEpoch)
	}
	require.EqualValues(t, 10, l.durable(testEpoch)["quotes.A"].Both)
	wiped := h.owners[0]
	l.forget(wiped)
	require.EqualValues(t, 0, l.durable(testEpoch)["quotes.A"].Both)
	require.Equal(t, []quote.Symbol{"A"}, l.behind(wiped))
	l.held(wiped, map[quote.Topic][]quote.Range{"quotes.A": {{Epoch: testEpoch - 1, First: 1, Last: 10}, {Epoch: testEpoch, First: 1, Last: 4}, {Epoch: testEpoch, First: 6, Last: 10}}}, testEpoch)
	require.EqualValues(t, 4, l.durable(testEpoch)["quotes.A"].Both, "up to the hole")
	require.EqualValues(t, 10, l.durable(testEpoch)["quotes.A"].One)
}

// What comes back from a session that has failed is sent on the next one, though nothing new is published.
func TestWhatIsPutBackIsAskedForAgain(t *testing.T) {
	l := newRig(t, 1500).place
	h := l.home("quotes.A")
	q := l.queues[h.owners[0]]
	l.add(h, 1, []byte(`{}`))
	<-q.ready
	b := l.take(h.owners[0])
	require.NotNil(t, b)
	require.Nil(t, l.take(h.owners[0]))
	l.putBack(h.owners[0], []*batch{b})
	select {
	case <-q.ready:
	default:
		t.Fatal("nobody is told that something waits")
	}
	require.Len(t, l.take(h.owners[0]).records, 1)
}
