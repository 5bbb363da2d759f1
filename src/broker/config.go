package broker

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
)

// Config bounds the broker. The zero value of a field is the default that its comment names.
type Config struct {
	Listen    string // data port; 127.0.0.1:8081
	Retention int    // bytes of frames in the log of a topic; 1 MiB
	// RetentionAge is how old a record may get in the log; 0: bytes alone decide.
	RetentionAge time.Duration
	Total        int // bytes of frames in the logs of all topics, beside which each frame takes 72 more: once there are more, each has an even share; 256 MiB
	MaxLag       int // bytes that an all reader may lag a topic; half of Retention
	MaxFrame     int // bytes of a published frame; 64 KiB
	MaxTopics    int // topics in all; 100,000
	MaxSubs      int // subscriptions a connection; 10,000
	// WriteTimeout is how long a subscriber may take no byte of a write before it is cut off; 5 s. One whose system takes nothing for
	// 3 s is cut off by TCP_USER_TIMEOUT before.
	WriteTimeout time.Duration
	// Silence is how long core may say nothing before it counts as lost; 3 s.
	Silence time.Duration

	Log     *slog.Logger          // slog.Default()
	Metrics prometheus.Registerer // none
	Version string
}

// Flags binds the fields that a user sets.
func (c *Config) Flags(fs *pflag.FlagSet) {
	c.defaults()
	fs.StringVar(&c.Listen, "listen", c.Listen, "data port, HOST:PORT")
	fs.IntVar(&c.Retention, "retention", c.Retention, "bytes of frames kept in the log of each topic")
	fs.DurationVar(&c.RetentionAge, "retention-age", c.RetentionAge, "how long a record is kept in the log; 0: bytes alone decide")
	fs.IntVar(&c.Total, "total", c.Total, "bytes of frames kept in the logs of all topics, which share them evenly once they have more; each frame takes 72 more beside")
	fs.IntVar(&c.MaxLag, "max-lag", 0, "bytes that a reader of everything may lag on a topic; 0: half of retention")
	fs.IntVar(&c.MaxFrame, "max-frame", c.MaxFrame, "bytes of a published frame")
	fs.IntVar(&c.MaxTopics, "max-topics", c.MaxTopics, "topics in all")
	fs.IntVar(&c.MaxSubs, "max-subscriptions", c.MaxSubs, "subscriptions of one connection")
	fs.DurationVar(&c.WriteTimeout, "write-timeout", c.WriteTimeout, "how long a subscriber may take no byte of what is written to it before it is cut off")
	c.MaxLag = 0
}

func (c *Config) defaults() {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:8081")
	c.Retention = cmp.Or(c.Retention, 1<<20)
	c.Total = cmp.Or(c.Total, 256<<20)
	c.MaxLag = cmp.Or(c.MaxLag, c.Retention/2)
	c.MaxFrame = cmp.Or(c.MaxFrame, 64<<10)
	c.MaxTopics = cmp.Or(c.MaxTopics, 100_000)
	c.MaxSubs = cmp.Or(c.MaxSubs, 10_000)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 5*time.Second)
	c.Silence = cmp.Or(c.Silence, 3*time.Second)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
}

func (c *Config) check() error {
	for name, v := range map[string]int{"retention": c.Retention, "total": c.Total, "max-lag": c.MaxLag, "max-frame": c.MaxFrame, "max-topics": c.MaxTopics, "max-subscriptions": c.MaxSubs} {
		if v < 1 {
			return fmt.Errorf("--%s %d: want at least 1", name, v)
		}
	}
	if c.RetentionAge < 0 {
		return fmt.Errorf("--retention-age %v: want 0 or more", c.RetentionAge)
	}
	if c.MaxLag > c.Retention {
		return fmt.Errorf("--max-lag %d: want at most --retention, %d", c.MaxLag, c.Retention)
	}
	return nil
}
