package watch

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"quotes/src/breaker"
)

// Register adds a breaker's metrics, labelled with its name: quotes_PROCESS_breaker_state (0 closed, 1 open, 2 half-open, 3 forced
// open, 4 disabled), quotes_PROCESS_breaker_calls_total by outcome (success, failure, ignored, late, expired, refused) and
// quotes_PROCESS_breaker_opened_total. It panics where the name is there already.
func Register(reg prometheus.Registerer, process string, b *breaker.Breaker) {
	f := promauto.With(reg)
	prefix := "quotes_" + process + "_breaker_"
	name := prometheus.Labels{"breaker": b.Name()}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: prefix + "state", Help: "0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled.", ConstLabels: name,
	}, func() float64 { return float64(b.State()) })
	count := func(metric, help string, labels prometheus.Labels, of func(breaker.Totals) uint64) {
		f.NewCounterFunc(prometheus.CounterOpts{Name: prefix + metric, Help: help, ConstLabels: labels},
			func() float64 { return float64(of(b.Snapshot().Totals)) })
	}
	count("opened_total", "Transitions to open.", name, func(t breaker.Totals) uint64 { return t.Opened })
	for outcome, of := range map[string]func(breaker.Totals) uint64{
		"success": func(t breaker.Totals) uint64 { return t.Successes },
		"failure": func(t breaker.Totals) uint64 { return t.Failures },
		"ignored": func(t breaker.Totals) uint64 { return t.Ignored },
		"late":    func(t breaker.Totals) uint64 { return t.Late },
		"expired": func(t breaker.Totals) uint64 { return t.Expired },
		"refused": func(t breaker.Totals) uint64 { return t.Refused },
	} {
		count("calls_total", "Calls by outcome; expired ones may stand under success or failure too.",
			prometheus.Labels{"breaker": b.Name(), "outcome": outcome}, of)
	}
}
