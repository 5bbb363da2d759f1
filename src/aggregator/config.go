package aggregator

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"quotes/src/placement"
	"quotes/src/quote"
)

// Config says whom to ask. The zero value of a field is the default that its comment names.
type Config struct {
	Listen string // data port, TCP/JSON and HTTP; 127.0.0.1:8000
	Core   string // 127.0.0.1:8082
	Broker string // 127.0.0.1:8081
	Shards string // NAME=HOST:PORT,…; the three of a laptop
	Copies int    // owners of a slot; 2

	DefaultSymbol string        // of a request without one; the first of core's where empty
	Budget        time.Duration // of a request that names none; 1 s
	NoCourtesy    bool          // no report for a client that says nothing

	Log     *slog.Logger          // slog.Default()
	Metrics prometheus.Registerer // none
	Version string
}

// Flags binds the fields that a user sets.
func (c *Config) Flags(fs *pflag.FlagSet) {
	c.defaults()
	fs.StringVar(&c.Listen, "listen", c.Listen, "data port for TCP/JSON and HTTP, HOST:PORT")
	fs.StringVar(&c.Core, "core", c.Core, "core, HOST:PORT")
	fs.StringVar(&c.Broker, "broker", c.Broker, "the broker, HOST:PORT")
	fs.StringVar(&c.Shards, "shards", c.Shards, "all shards, NAME=HOST:PORT,…")
	fs.IntVar(&c.Copies, "copies", c.Copies, "shards that own each slot")
	fs.StringVar(&c.DefaultSymbol, "default-symbol", "", "symbol of a request without one; core's first where empty")
	fs.DurationVar(&c.Budget, "budget", c.Budget, "time for a request that names no budget_ms")
	fs.BoolVar(&c.NoCourtesy, "no-silent-report", false, "do not send a report to a client that says nothing")
}

func (c *Config) defaults() {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:8000")
	c.Core = cmp.Or(c.Core, "127.0.0.1:8082")
	c.Broker = cmp.Or(c.Broker, "127.0.0.1:8081")
	c.Shards = cmp.Or(c.Shards, placement.Laptop)
	c.Copies = cmp.Or(c.Copies, 2)
	c.Budget = cmp.Or(c.Budget, time.Second)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
}

func (c *Config) check() error {
	for name, addr := range map[string]string{"core": c.Core, "broker": c.Broker} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("--%s %q: want HOST:PORT: %w", name, addr, err)
		}
	}
	if c.DefaultSymbol != "" {
		if _, err := quote.ParseSymbol(c.DefaultSymbol); err != nil {
			return fmt.Errorf("--default-symbol: %w", err)
		}
	}
	if c.Budget < time.Millisecond || c.Budget > time.Minute {
		return fmt.Errorf("--budget %v: want 1ms to 1m", c.Budget)
	}
	return nil
}
