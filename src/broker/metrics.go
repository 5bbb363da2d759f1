package broker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the broker's counters; docs/operations.md says what each means.
type metrics struct {
	out, lost, duplicates, overrun prometheus.Counter
	skipped, cutoff                *prometheus.CounterVec
	lag                            prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, b *Broker) *metrics {
	f := promauto.With(reg)
	count := func(read func() int) func() float64 {
		return func() float64 {
			b.mu.Lock()
			defer b.mu.Unlock()
			return float64(read())
		}
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "quotes_broker_subscribers", Help: "Connections with subscriptions."}, count(func() int { return len(b.sessions) }))
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "quotes_broker_topics", Help: "Topics."}, count(func() int { return len(b.topics) }))
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "quotes_broker_log_bytes", Help: "Bytes of log that are kept."}, count(func() int { return b.bytes }))
	f.NewCounterFunc(prometheus.CounterOpts{Name: "quotes_broker_frames_in_total", Help: "Records that core published."}, count(func() int { return int(b.frames) }))
	return &metrics{
		out:        f.NewCounter(prometheus.CounterOpts{Name: "quotes_broker_frames_out_total", Help: "Lines written to subscribers, heartbeats and LOST included."}),
		lost:       f.NewCounter(prometheus.CounterOpts{Name: "quotes_broker_lost_total", Help: "Records that core published and the broker never got."}),
		duplicates: f.NewCounter(prometheus.CounterOpts{Name: "quotes_broker_duplicates_total", Help: "Records that came a second time and were dropped."}),
		overrun:    f.NewCounter(prometheus.CounterOpts{Name: "quotes_broker_overrun_total", Help: "Records that a LOST named to a subscriber that lagged or came back too late; 1 for a range whose length nobody knows."}),
		skipped:    f.NewCounterVec(prometheus.CounterOpts{Name: "quotes_broker_skipped_total", Help: "Quotes passed over for a subscriber, by why."}, []string{"why"}),
		lag: f.NewHistogram(prometheus.HistogramOpts{
			Name: "quotes_broker_lag_bytes", Help: "Log not yet written to a subscriber, at each of its heartbeats.", Buckets: prometheus.ExponentialBuckets(1<<10, 4, 8),
		}),
		cutoff: f.NewCounterVec(prometheus.CounterOpts{Name: "quotes_broker_cutoff_total", Help: "Subscribers cut off, by reason."}, []string{"reason"}),
	}
}
