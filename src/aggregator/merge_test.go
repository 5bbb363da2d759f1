package aggregator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

func record(topic quote.Topic, epoch, seq uint64, at int) wire.Record {
	return wire.Record{Topic: topic, Epoch: epoch, Seq: seq, Payload: fmt.Appendf(nil, `{"timestamp":%q}`, quote.Time(1_600_000_000_000_000+int64(at)))}
}

// Paging through two shards that hold different parts, each answering with pages of its own size, gives every record once
// and in order.
func TestPagesHaveNoHoles(t *testing.T) {
	const topic = quote.Topic("trades.A")
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		var all []wire.Record
		held := make([][]wire.Record, 2)
		for seq := uint64(1); seq <= 60; seq++ {
			rec := record(topic, 1, seq, int(seq))
			all = append(all, rec)
			for i := range held {
				if r.IntN(3) > 0 || i == int(seq%2) {
					held[i] = append(held[i], rec)
				}
			}
		}
		desc := r.IntN(2) == 0
		m := merger{byPosition: true, desc: desc}
		limit := 1 + r.IntN(20)
		var got []wire.Record
		for more := true; more; {
			var rows []*hist
			for _, records := range held {
				rows = append(rows, answer(page(records, got, desc, min(limit, 1+r.IntN(limit)))))
			}
			var out []keyed
			out, more = m.merge(rows, limit)
			require.True(t, !more || len(out) > 0, "seed %d: a page without progress", seed)
			for _, k := range out {
				got = append(got, k.Record)
			}
		}
		if desc {
			slices.Reverse(all)
		}
		require.Equal(t, all, got, "seed %d", seed)
	}
}

func answer(resp wire.RespHist) *hist {
	h := &hist{more: resp.More}
	for _, r := range resp.Records {
		h.records = append(h.records, keyed{r, stamp(r.Payload)})
	}
	return h
}

// page is what a shard answers behind what the client has.
func page(records, got []wire.Record, desc bool, limit int) (resp wire.RespHist) {
	records = slices.Clone(records)
	if desc {
		slices.Reverse(records)
	}
	for _, rec := range records {
		if len(got) > 0 {
			if c := rec.Point().Compare(got[len(got)-1].Point()); desc && c >= 0 || !desc && c <= 0 {
				continue
			}
		}
		if len(resp.Records) == limit {
			resp.More = true
			return resp
		}
		resp.Records = append(resp.Records, rec)
	}
	return resp
}

func TestHistoryIsOrderedByTimeThenPosition(t *testing.T) {
	first, second := record("trades.B", 1, 1, 9), record("trades.A", 2, 1, 5)
	rows := []*hist{
		answer(wire.RespHist{Records: []wire.Record{first, second}}),
		answer(wire.RespHist{Records: []wire.Record{second, record("trades.A", 1, 7, 5)}}),
	}
	out, more := merger{desc: true}.merge(rows, 10)
	require.False(t, more)
	var got []string
	for _, k := range out {
		got = append(got, fmt.Sprint(k.Topic, k.Epoch, k.Seq))
	}
	require.Equal(t, []string{"trades.B1 1", "trades.A2 1", "trades.A1 7"}, got)
	out, more = merger{desc: true}.merge(rows, 2)
	require.True(t, more)
	require.Len(t, out, 2)
}

// badQuery checks the code of what is wrong with a query: a malformed symbol has its own.
func badQuery(t *testing.T, err error) {
	t.Helper()
	want := wire.BadRequest
	if errors.Is(err, quote.ErrBadSymbol) {
		want = wire.BadSymbol
	}
	require.Equal(t, want, wire.CodeOf(err))
}

func FuzzHistoryQuery(f *testing.F) {
	f.Add("symbol=PETR4&kinds=trades&order=desc&limit=5&cursor=" + cursor{1, "trades.A", quote.Point{Epoch: 1, Seq: 2}}.String())
	f.Add("symbols=A,B&from=2026-01-01T00:00:00Z&to=x&budget_ms=-1&min_coverage=NaN")
	f.Add("cursor=%00&kinds=&kinds=&limit=-9223372036854775809")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseHistory(raw)
		if err != nil {
			badQuery(t, err)
			return
		}
		require.True(t, q.Limit == nil || *q.Limit >= 1 && *q.Limit <= histMost)
		if q.cursor != nil {
			again, err := parseCursor(q.cursor.String())
			require.NoError(t, err)
			require.Equal(t, q.cursor, again)
		}
	})
}

func FuzzReportQuery(f *testing.F) {
	f.Add("symbol=PETR4&limit=5")
	f.Add("symbol=PETR4\blim\xfft=5")
	f.Add("symbols=A,B&from=2026-01-01T00:00:00Z&min_coverage=NaN&budget_ms=-1")
	f.Add("symbol=<script>&limit=99999999999999999999&%zz")
	f.Fuzz(func(t *testing.T, raw string) {
		req, budget, err := parseReport(raw)
		if err != nil {
			badQuery(t, err)
			return
		}
		require.GreaterOrEqual(t, budget, 0*budget)
		if limit, err := checkReport(&req); err == nil {
			require.True(t, limit >= 1 && limit <= reportMost)
		}
	})
}
