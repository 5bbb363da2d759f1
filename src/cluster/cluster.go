package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"quotes/src/aggregator"
	"quotes/src/broker"
	"quotes/src/core"
	"quotes/src/exchange"
	"quotes/src/exchange/fault"
	"quotes/src/exchange/sim"
	"quotes/src/shard"
)

// Config says what to run. The zero value of a field is the default that its comment names.
type Config struct {
	Dir       string             // of the shards' data. Required
	Shards    int                // 3
	Symbols   []string           // of the simulated market; A, B, C, D
	Rate      float64            // quotes a second and symbol; 20
	Generator exchange.Generator // another market than the simulated one
	Faults    *fault.Config      // of the exchange; none
	Seed      uint64             // of the market and the faults
	Core      core.Config        // its addresses, Log and Metrics are set here
	Broker    broker.Config      // likewise
	Log       *slog.Logger       // none
}

// The names of the processes; a shard's is what ShardName says.
const (
	External   = "external"
	Broker     = "broker"
	Core       = "core"
	Aggregator = "aggregator"
)

// process is what every process package gives.
type process interface {
	Addr() string
	Ready() error
	Run(context.Context) error
}

// member is one process: how to start it, and what runs now.
type member struct {
	name string
	make func() (process, error)

	mu   sync.Mutex
	p    process
	stop context.CancelFunc
	done chan struct{}
	err  error // why it ended; valid when done is closed
}

// Cluster is the seven processes.
type Cluster struct {
	cfg     Config
	addrs   map[string]string
	members []*member // in the order of their start
}

// New chooses the addresses. Nothing runs before Start.
func New(cfg Config) (*Cluster, error) {
	if cfg.Dir == "" {
		return nil, errors.New("cluster needs a folder for its data")
	}
	if cfg.Shards == 0 {
		cfg.Shards = 3
	}
	if len(cfg.Symbols) == 0 {
		cfg.Symbols = []string{"A", "B", "C", "D"}
	}
	if cfg.Rate == 0 {
		cfg.Rate = 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cluster{cfg: cfg}
	names := []string{External, Broker}
	for i := range cfg.Shards {
		names = append(names, ShardName(i))
	}
	names = append(names, Core, Aggregator)
	var err error
	if c.addrs, err = freePorts(names); err != nil {
		return nil, err
	}
	for _, name := range names {
		c.members = append(c.members, &member{name: name, make: c.maker(name)})
	}
	return c, nil
}

// ShardName returns the name of shard i.
func ShardName(i int) string { return fmt.Sprintf("shard-%d", i) }

// Where free ports are looked for: below the range that systems take the ports of outgoing connections from, which come and
// go while a process that is to have its port again is away.
const lowestPort, highestPort = 20_000, 29_999

// freePorts finds a free loopback port for each name. All are held until all are found.
func freePorts(names []string) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range names {
		ln, err := Listen()
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		out[name] = ln.Addr().String()
	}
	return out, nil
}

// Listen listens on a free loopback port that can be had again after it was closed.
func Listen() (ln net.Listener, err error) {
	for range 100 {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		if ln, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return ln, nil
		}
	}
	return nil, fmt.Errorf("find a free port from %d to %d: %w", lowestPort, highestPort, err)
}

// maker returns how to make a process, each time anew.
func (c *Cluster) maker(name string) func() (process, error) {
	log := c.cfg.Log.With("process", name)
	addr := c.addrs[name]
	switch name {
	case External:
		return func() (process, error) { return c.external(addr, log) }
	case Broker:
		return func() (process, error) {
			cfg := c.cfg.Broker
			cfg.Listen, cfg.Log, cfg.Version = addr, log, name
			return broker.New(cfg)
		}
	case Core:
		return func() (process, error) {
			cfg := c.cfg.Core
			cfg.Listen, cfg.External, cfg.Broker, cfg.Shards = addr, c.addrs[External], c.addrs[Broker], c.Shards()
			cfg.Log = log
			return core.New(cfg)
		}
	case Aggregator:
		return func() (process, error) {
			return aggregator.New(aggregator.Config{Listen: addr, Core: c.addrs[Core], Broker: c.addrs[Broker], Shards: c.Shards(), Log: log})
		}
	}
	return func() (process, error) {
		return shard.New(shard.Config{Name: name, Listen: addr, Data: filepath.Join(c.cfg.Dir, name), Shards: c.Shards(), CacheMB: 8, MemtableMB: 4, Log: log})
	}
}

func (c *Cluster) external(addr string, log *slog.Logger) (process, error) {
	gen := c.cfg.Generator
	if gen == nil {
		s, err := sim.New(sim.Config{Symbols: c.cfg.Symbols, Rate: c.cfg.Rate, Seed: c.cfg.Seed})
		if err != nil {
			return nil, err
		}
		gen = s
	}
	return exchange.New(exchange.Config{Listen: addr, Seed: c.cfg.Seed, Faults: c.cfg.Faults, Log: log}, gen)
}

// Addr returns where a process listens, whether it runs or not.
func (c *Cluster) Addr(name string) string { return c.addrs[name] }

// Shards returns the list of shards as the flags take it.
func (c *Cluster) Shards() string {
	var list []string
	for i := range c.cfg.Shards {
		list = append(list, ShardName(i)+"="+c.addrs[ShardName(i)])
	}
	return strings.Join(list, ",")
}

// Names returns all processes in the order of their start.
func (c *Cluster) Names() (names []string) {
	for _, m := range c.members {
		names = append(names, m.name)
	}
	return names
}

// StartAll starts all processes and waits until each is ready.
func (c *Cluster) StartAll(ctx context.Context) error {
	for _, name := range c.Names() {
		if err := c.Start(name); err != nil {
			return errors.Join(err, c.StopAll())
		}
	}
	for _, m := range c.members {
		if err := m.await(ctx); err != nil {
			return errors.Join(err, c.StopAll())
		}
	}
	return nil
}

// await waits until the process is ready, ends, or ctx does.
func (m *member) await(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		m.mu.Lock()
		p, done := m.p, m.done
		m.mu.Unlock()
		if p == nil {
			return fmt.Errorf("%s does not run", m.name)
		}
		if p.Ready() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", m.name, p.Ready())
		case <-done:
			return fmt.Errorf("%s has ended: %w", m.name, m.err)
		case <-tick.C:
		}
	}
}

// StopAll stops what runs, the last started first.
func (c *Cluster) StopAll() error {
	var errs []error
	for _, m := range slices.Backward(c.members) {
		errs = append(errs, m.end())
	}
	return errors.Join(errs...)
}

func (c *Cluster) member(name string) (*member, error) {
	for _, m := range c.members {
		if m.name == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("no process %q here", name)
}

// Start starts a process that does not run.
func (c *Cluster) Start(name string) error {
	m, err := c.member(name)
	if err != nil {
		return err
	}
	return m.start()
}

// Stop stops a process and returns what its Run did. One that does not run is no error.
func (c *Cluster) Stop(name string) error {
	m, err := c.member(name)
	if err != nil {
		return err
	}
	return m.end()
}

// Exchange returns the running exchange, for faults on demand; nil while it is stopped.
func (c *Cluster) Exchange() *exchange.External {
	m, err := c.member(External)
	if err != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, _ := m.p.(*exchange.External)
	return e
}

// Done returns a channel that is closed when the process has ended; nil where it does not run.
func (c *Cluster) Done(name string) <-chan struct{} {
	m, err := c.member(name)
	if err != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done
}

func (m *member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.p != nil {
		return fmt.Errorf("%s runs already", m.name)
	}
	p, err := m.make()
	if err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m.p, m.stop, m.done = p, stop, make(chan struct{})
	go func() {
		defer close(m.done)
		m.err = p.Run(ctx)
	}()
	return nil
}

func (m *member) end() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.p == nil {
		return nil
	}
	m.stop()
	<-m.done
	m.p = nil
	if m.err != nil {
		return fmt.Errorf("%s: %w", m.name, m.err)
	}
	return nil
}
