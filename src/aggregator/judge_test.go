package aggregator

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Whichever symbol comes first, a report that is not whole is called that before another is called old.
func TestLowCoverageGoesBeforeTooStale(t *testing.T) {
	age, most := int64(60_000), int64(1_000)
	old := report{Report: wire.Report{Coverage: 1, CurrentPrice: &quote.Quote{Quality: quote.Quality{State: quote.Stale, AgeMS: &age}}}}
	partial := report{Report: wire.Report{Coverage: 0, CurrentPrice: old.CurrentPrice}}
	req := &wire.ReqReport{Symbols: []quote.Symbol{"A", "B"}, MinCoverage: 1, MaxAgeMS: &most}
	heard := func(quote.Symbol) bool { return true }
	for _, reports := range [][]report{{old, partial}, {partial, old}, {partial, partial}} {
		require.Equal(t, wire.LowCoverage, wire.CodeOf(judge(req, reports, nil, heard)))
	}
	require.Equal(t, wire.TooStale, wire.CodeOf(judge(req, []report{old, old}, nil, heard)))
	req.MinCoverage = 0
	require.Equal(t, wire.TooStale, wire.CodeOf(judge(req, []report{partial, old}, nil, heard)), "what was asked for decides")
	req.MaxAgeMS = nil
	require.NoError(t, judge(req, []report{partial, old}, nil, heard))
}

// A symbol of which nobody has ever heard is called unknown, also while core is away; one that may be known is not.
func TestUnknownIsWhatNobodyKnows(t *testing.T) {
	core := func(state, reason string) wire.Report {
		return wire.Report{Coverage: 1, Sources: []wire.Source{{Name: "core", State: state, Reason: reason}}}
	}
	lacking := core(wire.SourceFailed, notConnected)
	lacking.Coverage = 0
	for name, tt := range map[string]struct {
		report         wire.Report
		heard, unknown bool
	}{
		"core knows it not":         {core(wire.SourceFailed, string(wire.BadSymbol)), true, true},
		"core away, never heard of": {core(wire.SourceFailed, notConnected), false, true},
		"core away, heard of":       {core(wire.SourceFailed, notConnected), true, false},
		"core skipped, heard of":    {core(wire.SourceSkipped, breakerOpen), true, false},
		"a shard may know more":     {lacking, false, false},
	} {
		err := judge(&wire.ReqReport{Symbols: []quote.Symbol{"A"}}, []report{{Report: tt.report}}, nil, func(quote.Symbol) bool { return tt.heard })
		require.Equal(t, tt.unknown, err != nil, name)
	}
}

// An age goes on while others are waited for, in what is written and in what is judged.
func TestAnAgeIsThatOfNow(t *testing.T) {
	raw := []byte(`{"symbol":"A","price":"1.50","timestamp":"2026-01-01T00:00:00.000000Z","received":"2026-01-01T00:00:00.000000Z","quality":{"state":"live","age_ms":12},"epoch":5,"seq":7}`)
	age := int64(12)
	live := asked{quote: quote.Quote{Quality: quote.Quality{State: quote.Live, AgeMS: &age}}, raw: raw}
	for since, want := range map[time.Duration]int64{0: 12, 2 * time.Second: 2012} {
		var r report
		price(&r, "A", &priced{quotes: map[quote.Symbol]asked{"A": live}, at: time.Now().Add(-since)})
		require.GreaterOrEqual(t, *r.CurrentPrice.Quality.AgeMS, want)
		if since == 0 {
			require.Equal(t, string(raw), string(r.price), "as core wrote it")
			continue
		}
		var q quote.Quote
		require.NoError(t, (&wire.Frame{Payload: r.price}).Decode(&q))
		require.Equal(t, *r.CurrentPrice.Quality.AgeMS, *q.Quality.AgeMS)
		require.Equal(t, "1.50", q.Price.String())
		require.EqualValues(t, 7, q.Seq)
	}
	require.EqualValues(t, 12, age, "core's own stays")
}

// What a source says that can't be read is the source's fault, never the client's: the twin is asked, the breaker counts it.
func TestAnAnswerThatCannotBeReadIsItsSourcesFault(t *testing.T) {
	err := (&hist{}).add([]byte(`{"records":5}`), true)
	require.Error(t, err)
	require.True(t, fault(err), "%v", err)
}

func TestKindsCountOnce(t *testing.T) {
	req := wire.ReqHist{Kinds: slices.Repeat([]quote.Kind{quote.Trades}, 1000)}
	_, err := checkHist(&req)
	require.NoError(t, err)
	require.Equal(t, []quote.Kind{quote.Trades}, req.Kinds)
}
