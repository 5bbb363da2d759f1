package aggregator

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"quotes/src/breaker/watch"
	"quotes/src/scatter"
	"quotes/src/wire"
)

// metrics are the aggregator's counters; docs/operations.md says what each means.
type metrics struct {
	reports   *prometheus.CounterVec
	sources   *prometheus.CounterVec
	histories prometheus.Counter
	seconds   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, a *Aggregator) *metrics {
	f := promauto.With(reg)
	for _, p := range a.peers() {
		watch.Register(reg, "aggregator", p.brk)
	}
	totals := func(kind, help string, of func(scatter.Totals) uint64) {
		f.NewCounterFunc(prometheus.CounterOpts{Name: "quotes_aggregator_calls_total", Help: help, ConstLabels: prometheus.Labels{"kind": kind}},
			func() float64 { return float64(of(a.engine.Totals())) })
	}
	const help = "Calls to shards: first ones, hedges, failovers from suspects; and those whose twin was faster."
	totals("first", help, func(t scatter.Totals) uint64 { return t.Calls })
	totals("hedge", help, func(t scatter.Totals) uint64 { return t.Hedges })
	totals("failover", help, func(t scatter.Totals) uint64 { return t.Failovers })
	totals("outrun", help, func(t scatter.Totals) uint64 { return t.Outrun })
	for i, p := range a.shards {
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "quotes_aggregator_hedge_delay_seconds", Help: "After how long this source is asked on top of a slow twin.",
			ConstLabels: prometheus.Labels{"source": p.name},
		}, func() float64 { return a.engine.Reach(i).Seconds() })
	}
	return &metrics{
		reports:   f.NewCounterVec(prometheus.CounterOpts{Name: "quotes_aggregator_reports_total", Help: "Reports made, by completeness."}, []string{"coverage"}),
		sources:   f.NewCounterVec(prometheus.CounterOpts{Name: "quotes_aggregator_sources_total", Help: "Sources of reports, by what became of them."}, []string{"source", "state"}),
		histories: f.NewCounter(prometheus.CounterOpts{Name: "quotes_aggregator_histories_total", Help: "REQ_HIST answered."}),
		seconds:   f.NewHistogram(prometheus.HistogramOpts{Name: "quotes_aggregator_report_seconds", Help: "Time to make a report.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 13)}),
	}
}

// reported counts one report.
func (m *metrics) reported(r *wire.Report) {
	coverage := "full"
	if r.Coverage < 1 {
		coverage = "partial"
	}
	m.reports.WithLabelValues(coverage).Inc()
	for _, s := range r.Sources {
		m.sources.WithLabelValues(s.Name, s.State).Inc()
	}
}
