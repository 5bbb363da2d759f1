package watch_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
	"quotes/src/breaker/watch"
)

func TestABreakerIsSeen(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	for _, name := range []string{"exchange", "shard-0"} {
		b, err := breaker.New(breaker.Config{Name: name, ConsecutiveFailures: 1})
		require.NoError(t, err)
		watch.Register(reg, "core", b)
		for _, o := range []breaker.Outcome{breaker.Success, breaker.Success, breaker.Failure} {
			p, err := b.Acquire()
			require.NoError(t, err)
			p.Done(o)
		}
		_, err = b.Acquire()
		require.ErrorIs(t, err, breaker.ErrOpen)
	}
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP quotes_core_breaker_state 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled.
# TYPE quotes_core_breaker_state gauge
quotes_core_breaker_state{breaker="exchange"} 1
quotes_core_breaker_state{breaker="shard-0"} 1
# HELP quotes_core_breaker_opened_total Transitions to open.
# TYPE quotes_core_breaker_opened_total counter
quotes_core_breaker_opened_total{breaker="exchange"} 1
quotes_core_breaker_opened_total{breaker="shard-0"} 1
`), "quotes_core_breaker_state", "quotes_core_breaker_opened_total"))
	for outcome, want := range map[string]float64{"success": 2, "failure": 1, "refused": 1, "late": 0} {
		require.InDelta(t, want, value(t, reg, "exchange", outcome), 0, outcome)
	}
}

// value returns the counter of calls of one breaker and outcome.
func value(t *testing.T, reg *prometheus.Registry, breaker, outcome string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "quotes_core_breaker_calls_total" && labels["breaker"] == breaker && labels["outcome"] == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no counter of %s %s", breaker, outcome)
	return 0
}
