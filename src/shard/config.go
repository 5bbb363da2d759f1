package shard

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"quotes/src/placement"
	"quotes/src/shard/engine"
)

// Config says which shard this is. The zero value of a field is the default that its comment names.
type Config struct {
	Name   string // shard-N; shard-0. It decides which slots are ours
	Listen string // data port; Host:9001+N
	Host   string // where to listen when Listen is empty; 127.0.0.1. In a pod every shard has the same flags but its name
	Data   string // folder; out/data/NAME
	Shards string // all shards, NAME=HOST:PORT,…; the three of a laptop
	Copies int    // owners of a slot; 2

	CacheMB    int // memory for blocks read, half of it, for chunks decoded and for newest records, a quarter each, in MiB; 32
	MemtableMB int // memory for rows not yet in a table, in MiB, up to twice that; 16
	ReserveMB  int // of the disk that are kept free, in MiB: below, writes are refused; 64
	RepairMB   int // most that is copied from one twin a second, in MiB; 64

	// What was received longer ago than RetentionAge is let go, and the oldest where sealed history has more than RetentionMB
	// MiB; none by default. The newest block of a topic always stays.
	RetentionAge time.Duration
	RetentionMB  int

	// ScrubEvery is how often, at most, all that is held is compared with a twin's by checksum; a minute. ScrubMB bounds
	// what that reads a second, in MiB; 4.
	ScrubEvery time.Duration
	ScrubMB    int

	// Rebuild sets a damaged data folder aside at the start and copies all from the twins; else it is refused.
	Rebuild bool

	// LockWait is how long to wait for a data folder that another process still has; none. A pod's successor may come early.
	LockWait time.Duration

	// RepairEvery is how often a slot that is not in sync is looked at again; 500 ms.
	RepairEvery time.Duration

	Log     *slog.Logger          // slog.Default()
	Metrics prometheus.Registerer // none
	Version string

	// Engine opens another storage than pebble in Data, for comparisons.
	Engine func(dir string) (engine.Engine, error)

	block blocks // positions of a block; blockSeqs. Tests have smaller ones
	page  int    // bytes of chunks in one answer to a twin; chunksBytes

	fs   vfs.FS                                                            // the disk; tests have others
	dial func(ctx context.Context, network, addr string) (net.Conn, error) // net.Dialer's where nil
}

// Flags binds the fields that a user sets.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Name, "name", or(c.Name, "shard-0"), "which shard this is, shard-N")
	fs.StringVar(&c.Listen, "listen", c.Listen, "data port, HOST:PORT (default HOST:9001+N, with --host)")
	fs.StringVar(&c.Host, "host", or(c.Host, "127.0.0.1"), "host to listen on where --listen is not given")
	fs.StringVar(&c.Data, "data", c.Data, "data folder (default out/data/NAME)")
	fs.DurationVar(&c.LockWait, "lock-wait", c.LockWait, "how long to wait for a data folder that another process still has")
	fs.StringVar(&c.Shards, "shards", or(c.Shards, placement.Laptop), "all shards, NAME=HOST:PORT,…")
	fs.IntVar(&c.Copies, "copies", or(c.Copies, 2), "shards that own each slot")
	fs.IntVar(&c.CacheMB, "cache-mb", or(c.CacheMB, 32), "memory for blocks read (half), chunks decoded and newest records (a quarter each), MiB")
	fs.IntVar(&c.MemtableMB, "memtable-mb", or(c.MemtableMB, 16), "memory for rows not yet in a table, MiB, up to twice that")
	fs.IntVar(&c.ReserveMB, "reserve-mb", or(c.ReserveMB, 64), "of the disk to keep free: below, writes are refused, MiB")
	fs.DurationVar(&c.ScrubEvery, "scrub-every", or(c.ScrubEvery, time.Minute), "how often, at most, to compare all that is held with a twin's by checksum")
	fs.IntVar(&c.ScrubMB, "scrub-mb", or(c.ScrubMB, 4), "most to read for that a second and twin, MiB")
	fs.DurationVar(&c.RetentionAge, "retention-age", c.RetentionAge, "let go what was received longer ago; 0 keeps all")
	fs.IntVar(&c.RetentionMB, "retention-mb", c.RetentionMB, "let the oldest go where sealed history is larger, MiB; 0 keeps all")
	fs.BoolVar(&c.Rebuild, "rebuild", c.Rebuild, "set a damaged data folder aside (DATA/damaged) and copy all from the twins")
	fs.IntVar(&c.RepairMB, "repair-mb", or(c.RepairMB, 64), "most to copy from one twin a second, MiB")
}

// firstPort is the documented data port of shard-0; shard-N has N more.
const firstPort = 9001

// port returns the documented data port of a shard.
func port(name string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "shard-"))
	if err != nil || n < 0 || n > 999 || name != "shard-"+strconv.Itoa(n) {
		return 0, fmt.Errorf("--name %q: want shard-N, such as shard-0", name)
	}
	return firstPort + n, nil
}

// PortOf returns the documented data port of the shard that a command line names; name is what counts without --name.
// It is for main, which must know the port before the flags are parsed. What is wrong there is refused later.
func PortOf(args []string, name string) int {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.ParseErrorsAllowlist.UnknownFlags = true
	fs.Usage = func() {}
	fs.StringVar(&name, "name", name, "")
	_ = fs.Parse(args)
	if p, err := port(or(name, "shard-0")); err == nil {
		return p
	}
	return firstPort
}

// defaults fills what was left out.
func (c *Config) defaults() error {
	c.Name = or(c.Name, "shard-0")
	n, err := port(c.Name)
	if err != nil {
		return err
	}
	c.Listen = or(c.Listen, net.JoinHostPort(or(c.Host, "127.0.0.1"), strconv.Itoa(n)))
	c.Data = or(c.Data, filepath.Join("out", "data", c.Name))
	c.Shards = or(c.Shards, placement.Laptop)
	c.Copies = or(c.Copies, 2)
	c.CacheMB, c.MemtableMB, c.RepairMB = or(c.CacheMB, 32), or(c.MemtableMB, 16), or(c.RepairMB, 64)
	c.ReserveMB, c.ScrubMB, c.ScrubEvery = or(c.ReserveMB, 64), or(c.ScrubMB, 4), or(c.ScrubEvery, time.Minute)
	c.RepairEvery = or(c.RepairEvery, 500*time.Millisecond)
	if c.CacheMB < 1 || c.MemtableMB < 1 || c.MemtableMB > 1024 || c.RepairMB < 1 || c.ReserveMB < 1 || c.ScrubMB < 1 || c.ScrubEvery < 0 {
		return fmt.Errorf("--cache-mb %d, --memtable-mb %d, --repair-mb %d, --reserve-mb %d, --scrub-mb %d: want 1 or more, and a memtable of at most 1024",
			c.CacheMB, c.MemtableMB, c.RepairMB, c.ReserveMB, c.ScrubMB)
	}
	c.block = or(c.block, blockSeqs)
	if c.RetentionAge < 0 || c.RetentionMB < 0 {
		return fmt.Errorf("--retention-age %v, --retention-mb %d: want 0 or more", c.RetentionAge, c.RetentionMB)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.fs == nil {
		c.fs = vfs.Default
	}
	return nil
}

// table computes who owns what, and our place in it.
func (c *Config) table() (*placement.Table, int, error) {
	shards, err := placement.ParseShards(c.Shards)
	if err != nil {
		return nil, 0, fmt.Errorf("--shards: %w", err)
	}
	table, err := placement.New(shards, c.Copies)
	if err != nil {
		return nil, 0, fmt.Errorf("--shards: %w", err)
	}
	self := table.Index(c.Name)
	if self < 0 {
		return nil, 0, fmt.Errorf("--name %s is not in --shards %s", c.Name, c.Shards)
	}
	return table, self, nil
}

// or returns value, or fallback where that is zero.
func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
