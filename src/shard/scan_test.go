package shard

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// TestHistoryAgainstAPlainList asks random questions and holds each answer against a sorted list; records of before 1970 are records.
func TestHistoryAgainstAPlainList(t *testing.T) {
	historyAgainstAPlainList(t, quote.TimeOf(testStart()))
	historyAgainstAPlainList(t, -20)
}

func historyAgainstAPlainList(t *testing.T, base quote.Time) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 5))
	d := openDisk(t, vfs.NewMem(), "data")
	r := &rig{table: d.state.table}
	symbols := slices.Concat(r.symbolsOf(0, 1, 2), r.symbolsOf(0, 2, 1))
	var rows []row
	for _, s := range symbols {
		for _, k := range []quote.Kind{quote.Quotes, quote.Trades} {
			for _, epoch := range []uint64{5, 1 << 40} {
				for seq := uint64(1); seq <= 20; seq++ {
					if rng.IntN(4) > 0 {
						row := rowOf(t, quote.TopicOf(k, s), epoch, seq)
						row.timestamp = base + quote.Time(rng.IntN(30)) // many are equal
						rows = append(rows, row)
					}
				}
			}
		}
	}
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	d.state.fence.epoch = 1 << 41 // all of it is of older epochs
	for _, twin := range []int{1, 2} {
		d.state.comparedWith(twin, 1<<41)
	}
	part := len(rows) / 3
	for i := range 600 {
		if i%200 == 0 { // a third more, in rows; the next time it is sealed, into chunks that are there
			if i > 0 {
				require.Greater(t, d.seal(t), 20)
			}
			_, err := d.committer.do(t.Context(), &write{rows: rows[i/200*part:][:part]})
			require.NoError(t, err)
		}
		if i%200 == 100 { // as after a start
			d.state.reach = newReach()
		}
		rows := rows[:(i/200+1)*part]
		req := randomQuery(rng, symbols, base)
		q, err := d.state.parseQuery(req)
		require.NoError(t, err)
		q.held = map[quote.Topic][]*holding{}
		for _, topic := range q.topics {
			q.held[topic] = d.state.holdings(topic)
		}
		v := d.engine.View()
		got, more, err := q.find(t.Context(), newReader(v, d.committer.size), 1<<20)
		require.NoError(t, err)
		require.NoError(t, v.Close())
		want := expect(rows, req)
		limit := min(len(want), *req.Limit)
		require.Equal(t, want[:limit], got, "%+v", req)
		require.Equal(t, limit < len(want), more, "%+v", req)
	}
}

func randomQuery(rng *rand.Rand, symbols []quote.Symbol, base quote.Time) (req wire.ReqHist) {
	limit := 1 + rng.IntN(60)
	req.Limit = &limit
	req.Order = []string{"", wire.Asc, wire.Desc}[rng.IntN(3)]
	for _, s := range symbols {
		if rng.IntN(2) == 0 {
			req.Symbols = append(req.Symbols, s)
		}
	}
	req.Kinds = [][]quote.Kind{nil, {quote.Quotes}, {quote.Trades}, {quote.Trades, quote.Quotes}}[rng.IntN(4)]
	if rng.IntN(2) == 0 {
		req.From = base + quote.Time(rng.IntN(15))
		req.To = req.From + quote.Time(rng.IntN(15))
	}
	if rng.IntN(2) == 0 {
		req.After, req.Before = map[quote.Topic]quote.Point{}, map[quote.Topic]quote.Point{}
		for _, s := range symbols {
			topic := quote.TopicOf(quote.Quotes, s)
			if rng.IntN(2) == 0 {
				req.After[topic] = quote.Point{Epoch: 5, Seq: rng.Uint64N(22)}
			}
			if rng.IntN(2) == 0 {
				req.Before[topic] = quote.Point{Epoch: 1 << 40, Seq: rng.Uint64N(22)}
			}
		}
	}
	return req
}

// expect answers a request from a plain list.
func expect(rows []row, req wire.ReqHist) []row {
	var out []row
	for _, r := range rows {
		after, before := req.After[r.topic], req.Before[r.topic]
		_, bounded := req.Before[r.topic]
		switch {
		case len(req.Symbols) > 0 && !slices.Contains(req.Symbols, r.topic.Symbol()),
			len(req.Kinds) > 0 && !slices.Contains(req.Kinds, r.topic.Kind()),
			!req.From.IsZero() && r.timestamp < req.From,
			!req.To.IsZero() && r.timestamp >= req.To,
			r.point.Compare(after) <= 0,
			bounded && r.point.Compare(before) >= 0:
			continue
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b row) int {
		order := cmp.Or(cmp.Compare(a.topic, b.topic), a.point.Compare(b.point))
		if req.After == nil && req.Before == nil {
			order = cmp.Or(cmp.Compare(a.timestamp, b.timestamp), order)
		}
		if req.Order == wire.Desc {
			return -order
		}
		return order
	})
	return out
}
