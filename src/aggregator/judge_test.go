package aggregator

import (
	"testing"

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
