package exchange

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/spf13/pflag"

	"quotes/src/exchange/fault"
)

// Config says where the exchange listens and what goes wrong. The zero value of a field is the default that its comment names.
type Config struct {
	Listen string        // 127.0.0.1:8080
	Seed   uint64        // of the faults
	Faults *fault.Config // none where nil; what the flags say wins

	Log     *slog.Logger          // slog.Default()
	Metrics prometheus.Registerer // none
	Version string

	flags *fault.Flags
}

// Flags binds the fields that a user sets.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "data port, HOST:PORT")
	fs.Uint64Var(&c.Seed, "seed", 1, "seed of the market and of its faults")
	c.flags = &fault.Flags{}
	c.flags.Bind(fs)
}

func (c *Config) defaults() error {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.flags != nil {
		f, err := c.flags.Config()
		if err != nil {
			return err
		}
		c.Faults = &f
	}
	if c.Faults == nil {
		c.Faults = &fault.Config{}
	}
	return c.Faults.Check()
}

// metrics are the exchange's counters; docs/operations.md says what each means.
type metrics struct {
	events   prometheus.Counter
	refused  prometheus.Counter
	sessions prometheus.Counter
	frames   prometheus.Counter
	faults   *prometheus.CounterVec
	cutoff   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		events:   f.NewCounter(prometheus.CounterOpts{Name: "quotes_external_events_total", Help: "Quotes and trades that the market made."}),
		refused:  f.NewCounter(prometheus.CounterOpts{Name: "quotes_external_refused_total", Help: "Ticks refused: unreadable, incomplete, crossed, or not to be kept exactly."}),
		sessions: f.NewCounter(prometheus.CounterOpts{Name: "quotes_external_sessions_total", Help: "Sessions begun."}),
		frames:   f.NewCounter(prometheus.CounterOpts{Name: "quotes_external_frames_total", Help: "PUBLISH frames sent."}),
		faults:   f.NewCounterVec(prometheus.CounterOpts{Name: "quotes_external_faults_total", Help: "Faults made, by kind: outage, refuse, cut, hang, garbage, delay, error, slow_request."}, []string{"kind"}),
		cutoff:   f.NewCounter(prometheus.CounterOpts{Name: "quotes_external_slow_readers_total", Help: "Sessions cut off because their reader did not keep up."}),
	}
}
