package judge_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
	"quotes/src/quote"
	"quotes/src/wire"
)

// frame is a PUBLISH of quotes.A behind prev of the same epoch.
func frame(epoch, seq, prev uint64) history.Event {
	return history.Event{Kind: history.Frame, At: at(int(seq)), Topic: "quotes.A", Epoch: epoch, Seq: seq, Prev: &prev}
}

func snapshot(epoch, seq uint64) history.Event {
	return history.Event{Kind: history.Frame, At: at(int(seq)), Topic: "quotes.A", Epoch: epoch, Seq: seq, Snapshot: true}
}

// crossing is the first frame of an epoch behind the last of another.
func crossing(epoch, prev, prevEpoch uint64) history.Event {
	e := frame(epoch, 1, prev)
	e.PrevEpoch = prevEpoch
	return e
}

func skipping(epoch, seq, prev, skipped uint64) history.Event {
	e := frame(epoch, seq, prev)
	e.Skipped = skipped
	return e
}

func lost(afterEpoch, after, beforeEpoch, before uint64) history.Event {
	return history.Event{Kind: history.Lost, At: at(int(before)), Topic: "quotes.A", Gap: &wire.Lost{
		Topic: "quotes.A", After: quote.Point{Epoch: afterEpoch, Seq: after}, Before: quote.Point{Epoch: beforeEpoch, Seq: before},
	}}
}

func TestContiguous(t *testing.T) {
	for name, events := range map[string][]history.Event{
		"in order":           {frame(1, 1, 0), frame(1, 2, 1), frame(1, 3, 2)},
		"behind a snapshot":  {snapshot(1, 7), frame(1, 8, 7)},
		"skipped, told":      {frame(1, 1, 0), skipping(1, 5, 1, 3)},
		"lost, told":         {frame(1, 1, 0), lost(1, 1, 1, 5), frame(1, 5, 4)},
		"lost over an epoch": {frame(1, 1, 0), lost(1, 1, 2, 5), frame(2, 5, 4)},
		"lost, told twice":   {frame(1, 1, 0), frame(1, 2, 1), lost(1, 1, 1, 5), frame(1, 5, 4)},
		"a new epoch":        {frame(1, 1, 0), crossing(2, 1, 1), frame(2, 2, 1)},
		"snapshot repeated":  {frame(1, 1, 0), snapshot(1, 1), frame(1, 2, 1)},
		"other events":       {frame(1, 1, 0), {Kind: history.Down}, {Kind: history.Up}, {Kind: history.Report}, frame(1, 2, 1)},
	} {
		require.NoError(t, judge.Contiguous(events, history.Window{}, 1), name)
	}
	for name, events := range map[string][]history.Event{
		"a hole":                    {frame(1, 1, 0), frame(1, 3, 2)},
		"twice":                     {frame(1, 1, 0), frame(1, 2, 1), frame(1, 2, 1)},
		"another prev":              {frame(1, 1, 0), frame(1, 2, 0)},
		"skipped too few":           {frame(1, 1, 0), skipping(1, 5, 1, 2)},
		"without prev":              {{Kind: history.Frame, Topic: "quotes.A", Epoch: 1, Seq: 1}},
		"epoch goes back":           {frame(2, 1, 0), frame(1, 2, 1)},
		"epoch begins late":         {frame(1, 1, 0), func() history.Event { e := frame(2, 2, 1); e.PrevEpoch = 1; return e }()},
		"epoch behind another":      {frame(1, 1, 0), crossing(3, 1, 2)},
		"snapshot goes back":        {frame(1, 5, 4), snapshot(1, 4)},
		"a hole before the lost":    {frame(1, 1, 0), lost(1, 3, 1, 5), frame(1, 5, 4)},
		"a hole behind the lost":    {frame(1, 1, 0), lost(1, 1, 1, 5), frame(1, 6, 5)},
		"an error from the broker":  {frame(1, 1, 0), {Kind: history.Fault, Text: "internal"}},
		"a hole over a new session": {frame(1, 1, 0), {Kind: history.Down}, {Kind: history.Up}, frame(1, 3, 2)},
	} {
		require.ErrorContains(t, judge.Contiguous(events, history.Window{}, 1), "1 of", name)
	}
	hole := []history.Event{frame(1, 1, 0), frame(1, 3, 2), frame(1, 4, 3)}
	require.Error(t, judge.Contiguous(hole, window(3, 4), 1))
	require.NoError(t, judge.Contiguous(hole, window(4, 5), 1), "before the window")
	require.ErrorIs(t, judge.Contiguous([]history.Event{frame(1, 1, 0)}, history.Window{}, 2), judge.ErrTooFew)
	require.ErrorIs(t, judge.Contiguous(nil, history.Window{}, 1), judge.ErrTooFew)
}

func TestGapsAreThoseOfTheWindow(t *testing.T) {
	events := []history.Event{lost(1, 1, 1, 5), lost(1, 7, 1, 9)}
	require.Len(t, judge.Gaps(events, window(0, 1000)), 2)
	require.Equal(t, []wire.Lost{*events[1].Gap}, judge.Gaps(events, window(6, 1000)))
}

func TestKept(t *testing.T) {
	held := func(spans ...quote.Span) map[quote.Topic]*quote.Seqs {
		set := &quote.Seqs{}
		for _, s := range spans {
			set.Add(s.First, s.Last)
		}
		return map[quote.Topic]*quote.Seqs{"quotes.A": set}
	}
	promised := map[quote.Topic]wire.Durable{"quotes.A": {Epoch: 1, Both: 5, One: 10}, "trades.A": {}}
	require.NoError(t, judge.Kept(promised, held(quote.Span{First: 1, Last: 10}), 10))
	require.NoError(t, judge.Kept(promised, held(quote.Span{First: 1, Last: 99}), 10))
	require.ErrorIs(t, judge.Kept(promised, held(quote.Span{First: 1, Last: 10}), 11), judge.ErrTooFew)
	require.ErrorIs(t, judge.Kept(nil, nil, 1), judge.ErrTooFew)
	require.ErrorContains(t, judge.Kept(promised, held(quote.Span{First: 1, Last: 9}), 1), "{10 10}")
	require.ErrorContains(t, judge.Kept(promised, held(quote.Span{First: 1, Last: 4}, quote.Span{First: 6, Last: 10}), 1), "{5 5}")
	require.Error(t, judge.Kept(promised, nil, 1), "the topic is gone")
	given := map[quote.Topic]wire.Durable{"quotes.A": {Epoch: 1, Both: 10, One: 10, Lost: []wire.LostRange{{First: 5, Last: 5}}}}
	require.NoError(t, judge.Kept(given, held(quote.Span{First: 1, Last: 4}, quote.Span{First: 6, Last: 10}), 1), "given up and named")
}
