package shard

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// TestRangesAgainstAPlainMap plays random stores, losses and twins' ranges and holds each answer against plain sets.
func TestRangesAgainstAPlainMap(t *testing.T) {
	const top = 40
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 9))
		st := newStory(t)
		held, lost := map[uint64]bool{}, map[uint64]bool{}
		need, sent := uint64(0), uint64(0)
		next := 1 + rng.Uint64N(top)
		st.hello(100, next)
		need = next - 1
		for range 30 {
			first := 1 + rng.Uint64N(top)
			last := min(first+rng.Uint64N(4), top)
			switch rng.IntN(3) {
			case 0:
				st.stored(true, 100, first, last)
				sent, need = max(sent, last), max(need, last)
				mark(held, first, last)
			case 1:
				st.stored(false, 100, first, last)
				mark(held, first, last)
			case 2:
				st.lost(100, first, last)
				mark(lost, first, last)
			}
			whole := true
			for seq := uint64(1); seq <= need; seq++ {
				whole = whole && (held[seq] || lost[seq])
			}
			require.Equal(t, whole, st.s.topics[st.topic].whole)
			require.Equal(t, !whole, st.s.gaps[st.slot] == 1)
			checkTwin(t, rng, st, held, lost, max(sent, 1)-1)
		}
	}
}

// checkTwin makes up a twin and checks what we want of it: all that it holds and we don't, up to a seq.
func checkTwin(t *testing.T, rng *rand.Rand, st *story, held, lost map[uint64]bool, through uint64) {
	var theirs, theirLost quote.Seqs
	for range 5 {
		first := 1 + rng.Uint64N(45)
		theirs.Add(first, first+rng.Uint64N(5))
		first = 1 + rng.Uint64N(45)
		theirLost.Add(first, first+rng.Uint64N(2))
	}
	var ranges []quote.Range
	var wants, wantLost []uint64
	for _, p := range theirs.Spans() {
		ranges = append(ranges, quote.Range{Epoch: 100, First: p.First, Last: p.Last})
		for seq := p.First; seq <= p.Last; seq++ {
			if !held[seq] && seq <= through {
				wants = append(wants, seq)
			}
		}
	}
	var got, gotLost []uint64
	for _, w := range st.s.lacks(st.twin, st.topic, ranges, st.now) {
		require.LessOrEqual(t, w.first, w.last)
		got = append(got, seqs(w.first, w.last)...)
	}
	require.Equal(t, wants, got)
	for _, p := range theirLost.Spans() {
		for seq := p.First; seq <= p.Last; seq++ {
			if !held[seq] && !lost[seq] {
				wantLost = append(wantLost, seq)
			}
		}
		for _, l := range st.s.untold(st.twin, wire.LostRange{Topic: st.topic, Epoch: 100, First: p.First, Last: p.Last}, st.now) {
			gotLost = append(gotLost, seqs(l.First, l.Last)...)
		}
	}
	require.Equal(t, wantLost, gotLost)
	var gone []uint64
	for _, p := range st.s.holding(st.topic, 100).gone() {
		gone = append(gone, seqs(p.First, p.Last)...)
	}
	for seq := range uint64(60) {
		require.Equal(t, lost[seq] && !held[seq], slices.Contains(gone, seq))
	}
}

func mark(set map[uint64]bool, first, last uint64) {
	for seq := first; seq <= last; seq++ {
		set[seq] = true
	}
}

func seqs(first, last uint64) (out []uint64) {
	for seq := first; seq <= last; seq++ {
		out = append(out, seq)
	}
	return out
}

func TestBatchesHoldEachTopicOnceAndLoseNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	topics := []quote.Topic{"quotes.A", "quotes.B", "trades.A", "trades.B", "trades.C"}
	for range 200 {
		var wants []want
		for i := range rng.IntN(40) {
			wants = append(wants, want{topics[rng.IntN(len(topics))], 1 + rng.Uint64N(2), uint64(10 * i), uint64(10*i + 5)})
		}
		var back []want
		for _, batch := range batches(wants, 2) {
			require.NotEmpty(t, batch)
			require.LessOrEqual(t, len(batch), 2)
			for i, w := range batch {
				require.Equal(t, batch[0].topic.Kind(), w.topic.Kind())
				require.True(t, i == 0 || batch[i-1].topic < w.topic)
			}
			back = append(back, batch...)
		}
		order := func(a, b want) int { return cmp.Compare(a.first, b.first) }
		slices.SortFunc(back, order)
		slices.SortFunc(wants, order)
		require.Equal(t, wants, back)
	}
}
