package bench_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/hack/bench/bench"
)

func TestSidesTakeTurns(t *testing.T) {
	var order string
	side := func(name string, v float64) func() float64 {
		return func() float64 { order += name; return v }
	}
	got := bench.Interleave(3, side("A", 1), side("B", 2))
	require.Equal(t, "ABABAB", order)
	require.Equal(t, []bench.Series{{1, 1, 1}, {2, 2, 2}}, got)
}

func TestMedianSpreadAndPercentile(t *testing.T) {
	s := bench.Series{9, 1, 5, 3}
	require.InDelta(t, 4, s.Median(), 0)
	require.InDelta(t, 2, s.Spread(), 0)
	require.InDelta(t, 1, s.Percentile(0.25), 0)
	require.InDelta(t, 9, s.Percentile(0.99), 0)
	require.InDelta(t, 5, bench.Series{9, 1, 5}.Median(), 0)
	require.True(t, math.IsNaN(bench.Series{}.Median()))
	require.True(t, math.IsNaN(bench.Series{}.Percentile(1)))
}

func TestTheLastLineIsForPrograms(t *testing.T) {
	var out strings.Builder
	require.NoError(t, bench.Print(&out, "breaker", []bench.Row{
		{Name: "closed", Ours: 58.123, Theirs: 134.2, Peer: "gobreaker v2.4.0", Unit: "ns/op", Goal: "<=0.60"},
		{Name: "fanout", Ours: 3, Theirs: 2, Unit: "deliveries/s", Goal: ">=2.0"},
		{Name: "memory", Ours: 5000, Unit: "B", Goal: "<=4096"},
		{Name: "p99", Ours: 4, Ratio: 4, Unit: "x", Goal: "<=5"},
		{Name: "closed-failsafe", Ours: 58, Theirs: 290, Unit: "ns/op"},
	}))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.True(t, strings.HasPrefix(lines[len(lines)-1], "RESULT "))
	var got struct {
		Bench string
		Rows  []struct {
			Name   string
			Ours   float64
			Theirs *float64
			Ratio  float64
			Goal   string
			Met    *bool
		}
	}
	require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(lines[len(lines)-1], "RESULT ")), &got))
	require.Equal(t, "breaker", got.Bench)
	require.Len(t, got.Rows, 5, "no row is left out")
	require.InDelta(t, 0.4331, got.Rows[0].Ratio, 0.0001)
	require.True(t, *got.Rows[0].Met)
	require.InDelta(t, 1.5, got.Rows[1].Ratio, 0)
	require.False(t, *got.Rows[1].Met, "a missed goal is told")
	require.False(t, *got.Rows[2].Met, "without a peer the goal bounds our own figure")
	require.Nil(t, got.Rows[2].Theirs)
	require.True(t, *got.Rows[3].Met)
	require.Nil(t, got.Rows[4].Met, "no goal, none to miss")
}

func TestWhatWasNotMeasuredIsNoRow(t *testing.T) {
	for _, r := range []bench.Row{
		{Name: "a", Ours: math.NaN()}, {Name: "a", Ours: 1, Theirs: math.Inf(1)}, {Name: "a", Ours: 1, Goal: "about 2"}, {Name: "a", Ours: 1, Goal: "<"},
	} {
		require.ErrorContains(t, bench.Print(&strings.Builder{}, "x", []bench.Row{r}), "row a")
	}
}
