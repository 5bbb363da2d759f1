package shard

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

func TestRecordKeysSortAsPositionsDo(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	topics := []quote.Topic{"quotes.A", "quotes.A-B", "quotes.AA", "quotes.A/B", "trades.A", "quotes.A.B"}
	type pos struct {
		topic quote.Topic
		point quote.Point
	}
	var all []pos
	for range 500 {
		all = append(all, pos{topics[rng.IntN(len(topics))], quote.Point{Epoch: rng.Uint64N(3) << (8 * rng.Uint64N(8)), Seq: 1 + rng.Uint64N(300)}})
	}
	byKey := slices.Clone(all)
	slices.SortFunc(byKey, func(a, b pos) int {
		return bytes.Compare(keyOfRecord(a.topic, a.point), keyOfRecord(b.topic, b.point))
	})
	slices.SortFunc(all, func(a, b pos) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), a.point.Compare(b.point))
	})
	require.Equal(t, all, byKey)
	for _, p := range all {
		require.Equal(t, p.point, pointOf(keyOfRecord(p.topic, p.point)))
	}
}

func TestRangesOfKeysHoldWhatTheyShould(t *testing.T) {
	const topic = quote.Topic("quotes.A")
	in := func(lo, hi, key []byte) bool { return bytes.Compare(key, lo) >= 0 && bytes.Compare(key, hi) < 0 }
	key := func(t quote.Topic, epoch, seq uint64) []byte {
		return keyOfRecord(t, quote.Point{Epoch: epoch, Seq: seq})
	}
	lo, hi := recordRange(topic, quote.Point{Epoch: 1, Seq: 5}, quote.Point{Epoch: 2, Seq: 3})
	require.False(t, in(lo, hi, key(topic, 1, 5)), "after is exclusive")
	require.True(t, in(lo, hi, key(topic, 1, 6)))
	require.True(t, in(lo, hi, key(topic, 2, 2)))
	require.False(t, in(lo, hi, key(topic, 2, 3)), "before is exclusive")
	lo, hi = recordRange(topic, quote.Point{}, quote.Point{})
	require.True(t, in(lo, hi, key(topic, 1, 1)))
	require.True(t, in(lo, hi, key(topic, 1<<63, 1<<63)))
	require.False(t, in(lo, hi, key("quotes.A-B", 1, 1)))
	require.False(t, in(lo, hi, key("quotes.AB", 1, 1)))

	at := func(us quote.Time) []byte { return keyOfTime(topic, us, quote.Point{Epoch: 9, Seq: 9}) }
	lo, hi = timeRange(topic, -5, 7)
	require.False(t, in(lo, hi, at(-6)))
	require.True(t, in(lo, hi, at(-5)), "from is inclusive")
	require.True(t, in(lo, hi, at(6)))
	require.False(t, in(lo, hi, at(7)), "to is exclusive")
	lo, hi = timeRange(topic, 0, 0)
	require.True(t, in(lo, hi, at(-1<<60)))
	require.True(t, in(lo, hi, at(1<<60)))
	require.Equal(t, quote.Time(-5), timeOf(at(-5)))
	require.Equal(t, quote.Point{Epoch: 9, Seq: 9}, pointOf(at(-5)))
}

func TestSpansComeBackAsTheyWere(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		var held, lost quote.Seqs
		for range rng.IntN(20) {
			first := 1 + rng.Uint64N(1<<rng.IntN(62))
			held.Add(first, min(first+rng.Uint64N(5), maxSeq))
			first = 1 + rng.Uint64N(100)
			lost.Add(first, first+rng.Uint64N(3))
		}
		want := newHolding(7, held, lost)
		got, err := parseHolding(7, want.value())
		require.NoError(t, err)
		require.Equal(t, want.held.Spans(), got.held.Spans())
		require.Equal(t, want.lost.Spans(), got.lost.Spans())
		require.Equal(t, want.done.Spans(), got.done.Spans())
	}
}

func TestARowComesBackAsItWas(t *testing.T) {
	p := quote.Point{Epoch: 3, Seq: 4}
	want, err := newRow("quotes.A", p, []byte(`{"symbol":"A","timestamp":"1969-11-23T14:00:00.000001Z","received":"2026-11-23T14:00:00Z", "x":"<&>"}`))
	require.NoError(t, err)
	require.Negative(t, int64(want.timestamp))
	got, err := parseRow("quotes.A", p, want.appendValue(nil))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func FuzzParseRow(f *testing.F) {
	r := row{topic: "quotes.A", timestamp: -5, received: 6, payload: []byte(`{}`)}
	f.Add(r.appendValue(nil))
	f.Add([]byte{rowJSON})
	f.Add([]byte{rowJSON, 0x80})
	f.Add([]byte{2, 0, 0})
	f.Fuzz(func(t *testing.T, v []byte) {
		r, err := parseRow("quotes.A", quote.Point{}, v)
		if err != nil {
			require.ErrorIs(t, err, errBadRow)
			return
		}
		again, err := parseRow("quotes.A", quote.Point{}, r.appendValue(nil))
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

func FuzzParseHolding(f *testing.F) {
	var held, lost quote.Seqs
	held.Add(1, 5)
	held.Add(9, 9)
	lost.Add(6, 8)
	f.Add(newHolding(1, held, lost).value())
	f.Add([]byte{0, 0})
	f.Add([]byte{1, 0, 1, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, v []byte) {
		h, err := parseHolding(1, v)
		if err != nil {
			return
		}
		again, err := parseHolding(1, h.value())
		require.NoError(t, err)
		require.Equal(t, h.held.Spans(), again.held.Spans())
		require.Equal(t, h.lost.Spans(), again.lost.Spans())
	})
}

func FuzzParseKeysAndFence(f *testing.F) {
	f.Add(keyOfSpans("quotes.A", 1<<40))
	f.Add(fence{1 << 40, "core"}.value())
	f.Add([]byte("s"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if topic, epoch, err := parseSpansKey(b); err == nil {
			require.Equal(t, b, keyOfSpans(topic, epoch))
		}
		if fence, err := parseFence(b); err == nil {
			require.Equal(t, b, fence.value())
		}
	})
}

func FuzzQuickHeadReadsWhatEncodingJSONReads(f *testing.F) {
	for _, s := range []string{
		`{"symbol":"A","price":"1","timestamp":"2026-11-23T14:00:00.000001Z","received":"2026-11-23T14:00:00.000002Z","quality":{"state":"live"}}`,
		`{"id":"9","symbol":"A","timestamp":"2026-11-23T14:00:00.000001Z","received":"2026-11-23T14:00:00.000002Z"}`,
		`{"symbol":"A","timestamp":"2026-11-23T14:00:00Z","received":"x"}`, `{"x":{"symbol":"B"},"symbol":"A","timestamp":"2026-11-23T14:00:00Z","received":"2026-11-23T14:00:00Z"}`,
		`{"symbol":"A","symbol":"B","timestamp":"2026-11-23T14:00:00Z","received":"2026-11-23T14:00:00Z"}`, `{"symbol":"A\"","timestamp":"","received":""}`, `{}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		lower := bytes.ToLower(b)
		for _, name := range []string{`"symbol"`, `"timestamp"`, `"received"`} {
			if bytes.Count(lower, []byte(name)) != bytes.Count(b, []byte(name)) {
				return // names in other cases
			}
		}
		var want head
		if !json.Valid(b) {
			return
		}
		err := json.Unmarshal(b, &want)
		for _, symbol := range []quote.Symbol{want.Symbol, "A", ""} {
			if got, ok := quickHead(b, symbol); ok {
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
		}
	})
}
