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
	for _, reports := range [][]report{{old, partial}, {partial, old}, {partial, partial}} {
		require.Equal(t, wire.LowCoverage, wire.CodeOf(judge(req, reports, nil)))
	}
	require.Equal(t, wire.TooStale, wire.CodeOf(judge(req, []report{old, old}, nil)))
	req.MinCoverage = 0
	require.Equal(t, wire.TooStale, wire.CodeOf(judge(req, []report{partial, old}, nil)), "what was asked for decides")
	req.MaxAgeMS = nil
	require.NoError(t, judge(req, []report{partial, old}, nil))
}
