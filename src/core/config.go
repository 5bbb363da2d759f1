package core

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"quotes/src/placement"
)

// ErrFenced says that a newer core has announced itself: this one has ended and may be started again.
var ErrFenced = errors.New("fenced by a newer core")

// Config says where core's peers are. The zero value of a field is the default that its comment names.
type Config struct {
	Listen   string // data port; 127.0.0.1:8082
	External string // the exchange; 127.0.0.1:8080
	Broker   string // 127.0.0.1:8081
	Shards   string // NAME=HOST:PORT,…; the three of a laptop
	Copies   int    // owners of a slot; 2

	// Silence is how long an open session may say nothing before all is stale; 500 ms.
	Silence time.Duration
	// OpenFor and OpenMax are the exchange breaker's first open time and the cap of its backoff; 500 ms and 2 s.
	OpenFor, OpenMax time.Duration
	// EpochWait bounds the start's question for the highest known epoch; 3 s.
	EpochWait time.Duration
	// Buffer bounds what waits for one shard, and what waits for the broker, in bytes; 16 MiB each.
	Buffer int

	Log     *slog.Logger          // slog.Default()
	Metrics prometheus.Registerer // none
	Version string
}

// Flags binds the fields that a user sets.
func (c *Config) Flags(fs *pflag.FlagSet) {
	c.defaults()
	fs.StringVar(&c.Listen, "listen", c.Listen, "data port, HOST:PORT")
	fs.StringVar(&c.External, "external", c.External, "the exchange, HOST:PORT")
	fs.StringVar(&c.Broker, "broker", c.Broker, "the broker, HOST:PORT")
	fs.StringVar(&c.Shards, "shards", c.Shards, "all shards, NAME=HOST:PORT,…")
	fs.IntVar(&c.Copies, "copies", c.Copies, "shards that own each slot")
	fs.DurationVar(&c.Silence, "silence", c.Silence, "silence of the exchange after which prices are stale")
	fs.DurationVar(&c.OpenFor, "open-for", c.OpenFor, "first open time of the breaker before the exchange")
	fs.DurationVar(&c.OpenMax, "open-max", c.OpenMax, "longest open time of the breaker before the exchange")
	fs.IntVar(&c.Buffer, "buffer", c.Buffer, "bytes that may wait for the broker, and for each shard")
}

func (c *Config) defaults() {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:8082")
	c.External = cmp.Or(c.External, "127.0.0.1:8080")
	c.Broker = cmp.Or(c.Broker, "127.0.0.1:8081")
	c.Shards = cmp.Or(c.Shards, placement.Laptop)
	c.Copies = cmp.Or(c.Copies, 2)
	c.Silence = cmp.Or(c.Silence, 500*time.Millisecond)
	c.OpenFor = cmp.Or(c.OpenFor, 500*time.Millisecond)
	c.OpenMax = cmp.Or(c.OpenMax, 2*time.Second)
	c.EpochWait = cmp.Or(c.EpochWait, 3*time.Second)
	c.Buffer = cmp.Or(c.Buffer, 16<<20)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
}

// check says which value is wrong.
func (c *Config) check() error {
	for name, addr := range map[string]string{"external": c.External, "broker": c.Broker} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("--%s %q: want HOST:PORT: %w", name, addr, err)
		}
	}
	switch {
	case c.Silence < 0 || c.OpenFor < 0 || c.OpenMax < c.OpenFor:
		return fmt.Errorf("--silence %v, --open-for %v, --open-max %v: want 0 or more, and open-max not below open-for", c.Silence, c.OpenFor, c.OpenMax)
	case c.Buffer < 64<<10:
		return fmt.Errorf("--buffer %d: want at least 65536 bytes", c.Buffer)
	}
	return nil
}
