package core

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"quotes/src/breaker/watch"
	"quotes/src/quote"
)

// metrics are core's counters; docs/operations.md says what each means.
type metrics struct {
	records *prometheus.CounterVec
	late    *prometheus.CounterVec
	refused prometheus.Counter
	dropped prometheus.Counter
	lost    prometheus.Counter
	grade   *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		records: f.NewCounterVec(prometheus.CounterOpts{Name: "quotes_core_records_total", Help: "Records given a position."}, []string{"kind"}),
		late:    f.NewCounterVec(prometheus.CounterOpts{Name: "quotes_core_late_total", Help: "Ticks older than the newest of their topic."}, []string{"kind"}),
		refused: f.NewCounter(prometheus.CounterOpts{Name: "quotes_core_refused_total", Help: "Ticks that could not be understood or kept exactly."}),
		dropped: f.NewCounter(prometheus.CounterOpts{Name: "quotes_core_queue_dropped_total", Help: "Records pushed out of a full queue to one shard: its twin has them, or they are lost."}),
		lost:    f.NewCounter(prometheus.CounterOpts{Name: "quotes_core_lost_total", Help: "Records given up: no shard will ever have them."}),
		grade:   f.NewGaugeVec(prometheus.GaugeOpts{Name: "quotes_core_feed_quality", Help: "1 for the quality that prices have now, by state."}, []string{"state"}),
	}
}

// quality shows the state that a freshly refreshed price would have.
func (m *metrics) quality(now quote.Quality) {
	for _, s := range []quote.State{quote.Live, quote.Stale, quote.Recovering} {
		v := 0.0
		if s == now.State {
			v = 1
		}
		m.grade.WithLabelValues(string(s)).Set(v)
	}
}

// watch adds the gauges that are read when asked for.
func (c *Core) watch(reg prometheus.Registerer) {
	f := promauto.With(reg)
	for _, b := range c.breakers {
		watch.Register(reg, "core", b)
	}
	for i, s := range c.ledger.table.Shards() {
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "quotes_core_queue_bytes", Help: "Bytes that wait for a shard.",
			ConstLabels: prometheus.Labels{"shard": s.Name},
		}, func() float64 { return float64(c.ledger.backlog()[i]) })
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "quotes_core_durable_one", Help: "Records that are on one owner's disk and not yet on all."},
		func() float64 { return float64(c.ledger.onOne()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "quotes_core_epoch", Help: "The epoch of this start, in Unix milliseconds; 0 before it is chosen."},
		func() float64 { return float64(c.epoch.Load()) })
}
